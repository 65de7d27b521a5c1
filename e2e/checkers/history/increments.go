package history

import (
	"slices"
	"strconv"
	"strings"
)

// Increments says whether a counter holds what was acknowledged: no order is needed for that, so it is exact even where the search
// for one takes too long. Only keys are counted whose every change adds.
type Increments struct {
	// Acknowledged and Unknown count the changes.
	Acknowledged, Unknown int
	// Lost is by how much the last reading is below the sum of what was acknowledged, with all unknown ones against us.
	Lost int64
	// Extra is by how much it is above the sum of everything that may have happened.
	Extra int64
}

// countIncrements compares the last reading with what was acknowledged before it.
func countIncrements(operations []Operation, initial []state) Increments {
	var counted Increments
	start := int64(0)
	if len(initial) != 1 || initial[0].expires {
		return counted
	}
	if initial[0].kind != missing {
		value, isNumber := integer(initial[0].value)
		if initial[0].kind != text || !isNumber {
			return counted
		}
		start = value
	}
	for _, operation := range operations {
		by, adds := increment(&operation)
		switch {
		case operation.reads:
		case !adds || by < 0:
			return Increments{}
		case operation.outcome == unclear:
			counted.Unknown++
		case strings.HasPrefix(operation.seen, "int:"):
			counted.Acknowledged++
		}
	}
	if counted.Acknowledged+counted.Unknown > 0 {
		counted.Lost, counted.Extra = missedBy(operations, start)
	}
	return counted
}

// missedBy looks at the reading that started last.
func missedBy(operations []Operation, start int64) (lost, extra int64) {
	readings := slices.DeleteFunc(slices.Clone(operations), func(operation Operation) bool {
		return operation.name != "get" || operation.outcome != happened
	})
	if len(readings) == 0 {
		return 0, 0
	}
	last := slices.MaxFunc(readings, func(left, right Operation) int { return int(min(1, max(-1, left.start-right.start))) })
	value, isNumber := int64(0), last.seen == null.canonical
	if digits, found := cutPrefix(last.seen, "text:"); found {
		value, isNumber = integer(digits)
	}
	if !isNumber {
		return 0, 0
	}
	least, most := start, start
	for _, operation := range operations {
		by, _ := increment(&operation)
		if operation.end < last.start && strings.HasPrefix(operation.seen, "int:") {
			least += by
		}
		if operation.start <= last.end && !strings.HasPrefix(operation.seen, "error:") {
			most += by
		}
	}
	return max(0, least-value), max(0, value-most)
}

// increment says by how much an operation changes a counter, if it is one that does.
func increment(operation *Operation) (by int64, adds bool) {
	switch operation.name {
	case "incr":
		return 1, true
	case "incrby":
		by, err := strconv.ParseInt(operation.arguments[0], 10, 64)
		return by, err == nil
	}
	return 0, false
}
