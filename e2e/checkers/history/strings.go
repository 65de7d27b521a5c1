package history

import (
	"fmt"
	"strconv"
	"strings"
)

func get(key state, _ window) (state, reply) {
	switch key.kind {
	case missing:
		return key, null
	case text:
		return key, textReply(key.value)
	}
	return key, wrongType
}

func strlen(key state, _ window) (state, reply) {
	if key.kind == hash {
		return key, wrongType
	}
	return key, number(int64(len(key.value)))
}

func setnx(value string) action {
	return func(key state, _ window) (state, reply) {
		if key.kind != missing {
			return key, number(0)
		}
		return state{kind: text, value: value}, number(1)
	}
}

func getset(value string) action {
	return func(key state, now window) (state, reply) {
		_, before := get(key, now)
		if before == wrongType {
			return key, before
		}
		return state{kind: text, value: value}, before
	}
}

func getdel(key state, now window) (state, reply) {
	_, before := get(key, now)
	if before == wrongType {
		return key, before
	}
	return state{}, before
}

func appendTo(value string) action {
	return func(key state, _ window) (state, reply) {
		if key.kind == hash {
			return key, wrongType
		}
		key.kind, key.value = text, key.value+value
		return key, number(int64(len(key.value)))
	}
}

func add(by int64) action {
	return func(key state, _ window) (state, reply) {
		if key.kind == hash {
			return key, wrongType
		}
		before, isNumber := integer(key.value)
		if key.kind == missing {
			before, isNumber = 0, true
		}
		after, fits := sum(before, by)
		if !isNumber || !fits {
			return key, failure
		}
		key.kind, key.value = text, strconv.FormatInt(after, 10)
		return key, number(after)
	}
}

// options are what SET and GETEX say after their value.
type options struct {
	onlyMissing, onlyPresent, keepDeadline, persist, giveOld bool
	deadline                                                 func(key state, now window) state
}

func parseOptions(arguments []string) (options, error) {
	var parsed options
	for len(arguments) > 0 {
		name := strings.ToLower(arguments[0])
		arguments = arguments[1:]
		switch name {
		case "nx":
			parsed.onlyMissing = true
		case "xx":
			parsed.onlyPresent = true
		case "keepttl":
			parsed.keepDeadline = true
		case "persist":
			parsed.persist = true
		case "get":
			parsed.giveOld = true
		case "ex", "px", "exat", "pxat":
			if len(arguments) == 0 {
				return parsed, fmt.Errorf("the option %s lacks its number", name)
			}
			value, err := strconv.ParseInt(arguments[0], 10, 64)
			if err != nil {
				return parsed, fmt.Errorf("%q after %s is not a number", arguments[0], name)
			}
			arguments = arguments[1:]
			parsed.deadline = deadline(name, value)
		default:
			return parsed, fmt.Errorf("the option %q is not known", name)
		}
	}
	return parsed, nil
}

func deadline(name string, value int64) func(state, window) state {
	if strings.HasPrefix(name, "ex") {
		value *= 1000
	}
	if strings.HasSuffix(name, "at") {
		return func(key state, _ window) state { return key.expiringAt(value) }
	}
	return func(key state, now window) state { return key.expiringAfter(now, value) }
}

func set(arguments []string) (action, error) {
	if len(arguments) == 0 {
		return nil, fmt.Errorf("no value")
	}
	value := arguments[0]
	chosen, err := parseOptions(arguments[1:])
	if err != nil {
		return nil, err
	}
	return func(key state, now window) (state, reply) {
		answer, refusal := okay, null
		if chosen.giveOld {
			_, before := get(key, now)
			if before == wrongType {
				return key, before
			}
			answer, refusal = before, before
		}
		if chosen.onlyMissing && key.kind != missing || chosen.onlyPresent && key.kind == missing {
			return key, refusal
		}
		next := state{kind: text, value: value}
		if chosen.keepDeadline {
			next.expires, next.earliest, next.latest = key.expires, key.earliest, key.latest
		}
		if chosen.deadline != nil {
			next = chosen.deadline(next, now)
		}
		return next, answer
	}, nil
}

func getex(arguments []string) (action, error) {
	chosen, err := parseOptions(arguments)
	if err != nil {
		return nil, err
	}
	return func(key state, now window) (state, reply) {
		_, before := get(key, now)
		switch {
		case key.kind != text:
		case chosen.persist:
			key = key.persistent()
		case chosen.deadline != nil:
			key = chosen.deadline(key, now)
		}
		return key, before
	}, nil
}
