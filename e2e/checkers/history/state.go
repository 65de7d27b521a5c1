package history

import (
	"encoding/json"
	"math"
	"strconv"
)

// The kinds of value a key can hold.
const (
	missing = ""
	text    = "string"
	hash    = "hash"
)

// state is what one key holds. It is comparable, so that the checker can recognise a state it has seen.
type state struct {
	kind string
	// value is the string itself, or the JSON of a hash with its fields sorted.
	value string
	// expires says that the key has a deadline, somewhere between earliest and latest on the cluster's clock, in nanoseconds.
	expires          bool
	earliest, latest int64
}

// window is where the cluster's clock may stand while an operation happens, in nanoseconds.
type window struct{ low, high int64 }

// forever stands for the end of an operation that may happen at any time later.
const forever = math.MaxInt64

// lives gives what an operation may see of a key with a deadline: the key, nothing, or either.
func (s state) lives(now window) []state {
	if !s.expires {
		return []state{s}
	}
	var seen []state
	if now.low < s.latest {
		seen = append(seen, s)
	}
	if now.high >= s.earliest {
		seen = append(seen, state{})
	}
	return seen
}

func (s state) persistent() state {
	s.expires, s.earliest, s.latest = false, 0, 0
	return s
}

// expiringAfter gives the key a deadline relative to an operation that happens within a window.
func (s state) expiringAfter(now window, milliseconds int64) state {
	s.expires = true
	s.earliest = addMilliseconds(now.low, milliseconds)
	// Clocks of milliseconds cut off up to one of them.
	s.earliest = addMilliseconds(s.earliest, -1)
	s.latest = addMilliseconds(now.high, milliseconds)
	return s
}

// expiringAt gives the key a deadline on the cluster's clock itself.
func (s state) expiringAt(milliseconds int64) state {
	s.expires = true
	s.earliest = addMilliseconds(0, milliseconds)
	s.latest = s.earliest
	return s
}

func addMilliseconds(nanoseconds, milliseconds int64) int64 {
	const million = 1_000_000
	if nanoseconds == forever || milliseconds > forever/million || nanoseconds > forever-max(milliseconds, 0)*million {
		return forever
	}
	return nanoseconds + milliseconds*million
}

func (s state) fields() map[string]string {
	fields := map[string]string{}
	if s.kind == hash {
		// The text was made by withFields.
		if err := json.Unmarshal([]byte(s.value), &fields); err != nil {
			panic("a state holds a hash that is not JSON: " + err.Error())
		}
	}
	return fields
}

// withFields holds these fields; a hash without fields does not exist.
func (s state) withFields(fields map[string]string) state {
	if len(fields) == 0 {
		return state{}
	}
	sorted, err := json.Marshal(fields)
	if err != nil {
		panic("fields of strings always have JSON: " + err.Error())
	}
	s.kind, s.value = hash, string(sorted)
	return s
}

func (s state) String() string {
	switch s.kind {
	case missing:
		return "no value"
	case text:
		return strconv.Quote(s.value)
	default:
		return s.value
	}
}

// reply is an answer in a form that can be compared: nothing, a number, a text, fields, or the first word of an error.
type reply struct {
	// canonical is `null`, `int:N`, `text:T`, `fields:JSON` or `error:CODE`.
	canonical string
	// low and high bound a number that depends on the clock; used when canonical is empty.
	low, high int64
}

var (
	null      = reply{canonical: "null"}
	okay      = textReply("OK")
	wrongType = reply{canonical: "error:WRONGTYPE"}
	failure   = reply{canonical: "error:ERR"}
)

func textReply(value string) reply { return reply{canonical: "text:" + value} }
func number(value int64) reply     { return reply{canonical: "int:" + strconv.FormatInt(value, 10)} }
func between(low, high int64) reply {
	return reply{low: low, high: high}
}

func truth(condition bool) reply {
	if condition {
		return number(1)
	}
	return number(0)
}

// matches says whether an answer that was seen is this one.
func (r reply) matches(seen string) bool {
	if r.canonical != "" {
		return r.canonical == seen
	}
	digits, isNumber := cutPrefix(seen, "int:")
	value, err := strconv.ParseInt(digits, 10, 64)
	return isNumber && err == nil && r.low <= value && value <= r.high
}

// integer reads a number as Redis does: decimal, of 64 bits, in its one canonical spelling.
func integer(value string) (int64, bool) {
	parsed, err := strconv.ParseInt(value, 10, 64)
	return parsed, err == nil && strconv.FormatInt(parsed, 10) == value
}

// sum adds unless the result leaves 64 bits.
func sum(left, right int64) (int64, bool) {
	total := left + right
	return total, (total > left) == (right > 0)
}
