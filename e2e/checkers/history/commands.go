package history

import (
	"fmt"
	"strconv"
	"strings"
)

// action is what one operation does to a key it can see, and what it answers.
type action func(key state, now window) (state, reply)

// command compiles the arguments of an operation, or says what is wrong with them.
type command struct {
	// reads says that the command never changes anything, so that one of unknown outcome proves nothing.
	reads   bool
	compile func(arguments []string) (action, error)
}

var commands = map[string]command{
	"get":       {reads: true, compile: plain(get)},
	"strlen":    {reads: true, compile: plain(strlen)},
	"exists":    {reads: true, compile: plain(exists)},
	"type":      {reads: true, compile: plain(typeOf)},
	"pttl":      {reads: true, compile: plain(pttl)},
	"hgetall":   {reads: true, compile: plain(hgetall)},
	"hlen":      {reads: true, compile: plain(hlen)},
	"hget":      {reads: true, compile: one(hget)},
	"hexists":   {reads: true, compile: one(hexists)},
	"set":       {compile: set},
	"setnx":     {compile: one(setnx)},
	"getset":    {compile: one(getset)},
	"getdel":    {compile: plain(getdel)},
	"getex":     {compile: getex},
	"append":    {compile: one(appendTo)},
	"incr":      {compile: plain(add(1))},
	"decr":      {compile: plain(add(-1))},
	"incrby":    {compile: numeric(add)},
	"decrby":    {compile: numeric(func(by int64) action { return add(-by) })},
	"del":       {compile: plain(del)},
	"persist":   {compile: plain(persist)},
	"expire":    {compile: numeric(func(by int64) action { return expireAfter(by * 1000) })},
	"pexpire":   {compile: numeric(expireAfter)},
	"expireat":  {compile: numeric(func(at int64) action { return expireAt(at * 1000) })},
	"pexpireat": {compile: numeric(expireAt)},
	"hset":      {compile: hset},
	"hsetnx":    {compile: hsetnx},
	"hdel":      {compile: hdel},
	"hincrby":   {compile: hincrby},
}

func plain(act action) func([]string) (action, error) {
	return func(arguments []string) (action, error) { return act, expect(arguments, 0) }
}

func one(act func(argument string) action) func([]string) (action, error) {
	return func(arguments []string) (action, error) {
		if err := expect(arguments, 1); err != nil {
			return nil, err
		}
		return act(arguments[0]), nil
	}
}

func numeric(act func(argument int64) action) func([]string) (action, error) {
	return func(arguments []string) (action, error) {
		if err := expect(arguments, 1); err != nil {
			return nil, err
		}
		value, err := strconv.ParseInt(arguments[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("the argument %q is not a number", arguments[0])
		}
		return act(value), nil
	}
}

func expect(arguments []string, count int) error {
	if len(arguments) != count {
		return fmt.Errorf("%d arguments, not %d", len(arguments), count)
	}
	return nil
}

// cutPrefix is strings.CutPrefix, named here because most replies are taken apart by it.
func cutPrefix(value, prefix string) (string, bool) { return strings.CutPrefix(value, prefix) }

func exists(key state, _ window) (state, reply) { return key, truth(key.kind != missing) }

func typeOf(key state, _ window) (state, reply) {
	if key.kind == missing {
		return key, textReply("none")
	}
	return key, textReply(key.kind)
}

func del(key state, _ window) (state, reply) { return state{}, truth(key.kind != missing) }

func persist(key state, _ window) (state, reply) { return key.persistent(), truth(key.expires) }

func expireAfter(milliseconds int64) action {
	return func(key state, now window) (state, reply) {
		switch {
		case key.kind == missing:
			return key, number(0)
		case milliseconds <= 0:
			return state{}, number(1)
		}
		return key.expiringAfter(now, milliseconds), number(1)
	}
}

func expireAt(milliseconds int64) action {
	return func(key state, _ window) (state, reply) {
		if key.kind == missing {
			return key, number(0)
		}
		return key.expiringAt(milliseconds), number(1)
	}
}

func pttl(key state, now window) (state, reply) {
	switch {
	case key.kind == missing:
		return key, number(-2)
	case !key.expires:
		return key, number(-1)
	}
	// A clock of milliseconds cuts off up to one of them at either end.
	const million = 1_000_000
	return key, between((key.earliest-now.high)/million-1, addMilliseconds(key.latest-now.low, 1)/million)
}
