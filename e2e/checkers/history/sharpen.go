package history

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// An operation of unknown outcome may go anywhere after its start, so each one doubles the search. The answers of others often say where it went. What is concluded here never
// changes the verdict, only how long it takes; each function says why.

// sharpen says all that can be concluded about unknown operations.
func sharpen(operations []Operation, initial []state) []Operation {
	operations = slices.DeleteFunc(slices.Clone(operations), func(operation Operation) bool {
		return operation.outcome == unclear && operation.reads
	})
	if only(operations, "incr") {
		return numberIncrements(operations, initial)
	}
	if only(operations, "set", "setnx", "getset", "getdel", "getex", "del", "persist", "expire", "pexpire", "expireat", "pexpireat") {
		boundSeenWrites(operations, initial)
	}
	return operations
}

// only says that nothing but reads of strings and these writes is there, so that a text that was read is one that was written whole.
func only(operations []Operation, names ...string) bool {
	return !slices.ContainsFunc(operations, func(operation Operation) bool {
		return strings.HasPrefix(operation.name, "h") || !operation.reads && !slices.Contains(names, operation.name)
	})
}

// boundSeenWrites uses that a value which only one SET writes names its writer: the write came before the first answer that shows the value, and no such answer came before
// the write. So the write ends with that answer at the latest, and the answers begin with the write.
func boundSeenWrites(operations []Operation, initial []state) {
	writers := map[string]int{}
	for _, start := range initial {
		writers[start.value]++
	}
	begun := map[string]int64{}
	for _, operation := range operations {
		if !operation.reads && len(operation.arguments) > 0 {
			writers[operation.arguments[0]]++
		}
		if operation.name == "set" {
			begun[operation.arguments[0]] = operation.start
		}
	}
	shown := map[string]int64{}
	for at := range operations {
		operation := &operations[at]
		value, isValue := shownValue(operation)
		start, isWritten := begun[value]
		// An answer before the write began is a violation, which the search finds.
		if !isValue || !isWritten || writers[value] != 1 || operation.end < start {
			continue
		}
		operation.start = max(operation.start, start)
		if before, found := shown[value]; !found || operation.end < before {
			shown[value] = operation.end
		}
	}
	for at := range operations {
		operation := &operations[at]
		if operation.name != "set" || writers[operation.arguments[0]] != 1 {
			continue
		}
		if end, found := shown[operation.arguments[0]]; found {
			operation.end = min(operation.end, end)
		}
	}
}

// shownValue is the whole value that an answer shows. (SET answers OK, and TYPE a name: texts, but no values.)
func shownValue(operation *Operation) (string, bool) {
	if !slices.Contains([]string{"get", "getset", "getdel", "getex"}, operation.name) {
		return "", false
	}
	return cutPrefix(operation.seen, "text:")
}

// numberIncrements finds which numbers of a counter that only INCR changes were nobody's answer: unknown increments made them. Those that started first may as well have made
// the lowest, since two that changed places would both still come after their start; and those left over may as well never have happened.
func numberIncrements(operations []Operation, initial []state) []Operation {
	if len(initial) != 1 || initial[0].expires || initial[0].kind == hash {
		return operations
	}
	first, isNumber := integer(initial[0].value)
	if initial[0].kind != missing && !isNumber {
		return operations
	}
	taken := map[int64]bool{}
	last := first
	for _, operation := range operations {
		digits := operation.seen[strings.Index(operation.seen, ":")+1:]
		value, isNumber := integer(digits)
		if !isNumber || operation.name != "incr" && operation.name != "get" {
			continue
		}
		last = max(last, value)
		taken[value] = taken[value] || operation.name == "incr"
	}
	var known, unknown []Operation
	for _, operation := range operations {
		if operation.outcome == unclear {
			unknown = append(unknown, operation)
		} else {
			known = append(known, operation)
		}
	}
	slices.SortStableFunc(unknown, func(left, right Operation) int { return cmp.Compare(left.start, right.start) })
	for value := first + 1; value <= last; value++ {
		if taken[value] {
			continue
		}
		if len(unknown) == 0 {
			// Nobody made this number: a violation that the search shows on the history as it was.
			return operations
		}
		made := unknown[0]
		made.outcome, made.seen = happened, "int:"+strconv.FormatInt(value, 10)
		known, unknown = append(known, made), unknown[1:]
	}
	return known
}
