package history

import (
	"fmt"
	"strconv"
)

// onHash runs an action only where a hash is or may come to be.
func onHash(act action) action {
	return func(key state, now window) (state, reply) {
		if key.kind == text {
			return key, wrongType
		}
		return act(key, now)
	}
}

func hget(field string) action {
	return onHash(func(key state, _ window) (state, reply) {
		value, found := key.fields()[field]
		if !found {
			return key, null
		}
		return key, textReply(value)
	})
}

func hexists(field string) action {
	return onHash(func(key state, _ window) (state, reply) {
		_, found := key.fields()[field]
		return key, truth(found)
	})
}

func hlen(key state, now window) (state, reply) {
	return onHash(func(key state, _ window) (state, reply) { return key, number(int64(len(key.fields()))) })(key, now)
}

func hgetall(key state, now window) (state, reply) {
	return onHash(func(key state, _ window) (state, reply) {
		if key.kind == missing {
			return key, reply{canonical: "fields:{}"}
		}
		return key, reply{canonical: "fields:" + key.value}
	})(key, now)
}

func hset(arguments []string) (action, error) {
	if len(arguments) == 0 || len(arguments)%2 != 0 {
		return nil, fmt.Errorf("%d arguments, not pairs of field and value", len(arguments))
	}
	return onHash(func(key state, _ window) (state, reply) {
		fields := key.fields()
		before := len(fields)
		for at := 0; at < len(arguments); at += 2 {
			fields[arguments[at]] = arguments[at+1]
		}
		return key.withFields(fields), number(int64(len(fields) - before))
	}), nil
}

func hsetnx(arguments []string) (action, error) {
	if err := expect(arguments, 2); err != nil {
		return nil, err
	}
	return onHash(func(key state, _ window) (state, reply) {
		fields := key.fields()
		if _, found := fields[arguments[0]]; found {
			return key, number(0)
		}
		fields[arguments[0]] = arguments[1]
		return key.withFields(fields), number(1)
	}), nil
}

func hdel(arguments []string) (action, error) {
	if len(arguments) == 0 {
		return nil, fmt.Errorf("no field")
	}
	return onHash(func(key state, _ window) (state, reply) {
		if key.kind == missing {
			return key, number(0)
		}
		fields := key.fields()
		before := len(fields)
		for _, field := range arguments {
			delete(fields, field)
		}
		return key.withFields(fields), number(int64(before - len(fields)))
	}), nil
}

func hincrby(arguments []string) (action, error) {
	if err := expect(arguments, 2); err != nil {
		return nil, err
	}
	by, err := strconv.ParseInt(arguments[1], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("the argument %q is not a number", arguments[1])
	}
	return onHash(func(key state, now window) (state, reply) {
		fields := key.fields()
		value, found := fields[arguments[0]]
		counter := state{}
		if found {
			counter = state{kind: text, value: value}
		}
		counter, answer := add(by)(counter, now)
		if answer == failure {
			return key, answer
		}
		fields[arguments[0]] = counter.value
		return key.withFields(fields), answer
	}), nil
}
