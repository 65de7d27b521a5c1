package history

import (
	"strings"
	"testing"
)

func TestUnreadableHistoriesNameTheirLine(t *testing.T) {
	for name, test := range map[string]struct{ text, sentence string }{
		"garbage":            {"{", "line 1: "},
		"unknown field":      {"\n" + `{"clint":1}`, "line 2: "},
		"unknown operation":  {`{"start_ns":1,"key":"k","op":"zadd","outcome":"unknown"}`, "not modelled"},
		"no key":             {`{"start_ns":1,"op":"get","outcome":"unknown"}`, "lacks its key"},
		"no start":           {`{"key":"k","op":"get","outcome":"unknown"}`, "lacks start_ns"},
		"time runs back":     {`{"start_ns":2,"end_ns":1,"key":"k","op":"get","outcome":"ok","result":null}`, "ends before it starts"},
		"answer without end": {`{"start_ns":2,"key":"k","op":"get","outcome":"ok","result":null}`, "lacks end_ns"},
		"end without answer": {`{"start_ns":2,"end_ns":3,"key":"k","op":"get","outcome":"ok"}`, "lacks its result"},
		"other outcome":      {`{"start_ns":2,"end_ns":3,"key":"k","op":"get","outcome":"maybe"}`, "none of ok, unknown, failed"},
		"argument count":     {`{"start_ns":2,"key":"k","op":"setnx","args":[],"outcome":"unknown"}`, "setnx: 0 arguments"},
		"option":             {`{"start_ns":2,"key":"k","op":"set","args":["a","QX"],"outcome":"unknown"}`, "not known"},
		"odd pairs":          {`{"start_ns":2,"key":"k","op":"hset","args":["a"],"outcome":"unknown"}`, "pairs"},
		"fraction":           {`{"start_ns":2,"end_ns":3,"key":"k","op":"get","outcome":"ok","result":1.5}`, "no integer"},
		"format":             {`{"format":2}`, "reads format 1"},
		"late header":        {`{"start_ns":2,"key":"k","op":"get","outcome":"unknown"}` + "\n" + `{"format":1}`, "before the operations"},
	} {
		_, err := Read(strings.NewReader(test.text))
		if err == nil || !strings.Contains(err.Error(), test.sentence) {
			t.Errorf("%s: %v, expected %q", name, err, test.sentence)
		}
	}
}

func TestEachCommandAnswersAsRedisDoes(t *testing.T) {
	now := window{low: 0, high: 0}
	for _, test := range []struct {
		before    state
		name      string
		arguments []string
		after     string
		answer    reply
	}{
		{state{}, "get", nil, "no value", null},
		{state{kind: text, value: "9"}, "incr", nil, `"10"`, number(10)},
		{state{kind: text, value: "09"}, "incr", nil, `"09"`, failure},
		{state{kind: text, value: "9223372036854775807"}, "incr", nil, `"9223372036854775807"`, failure},
		{state{kind: text, value: "-9223372036854775808"}, "decr", nil, `"-9223372036854775808"`, failure},
		{state{kind: text, value: "5"}, "incrby", []string{"0"}, `"5"`, number(5)},
		{state{}, "decrby", []string{"3"}, `"-3"`, number(-3)},
		{state{kind: text, value: "a"}, "hset", []string{"f", "1"}, `"a"`, wrongType},
		{state{kind: hash, value: `{"f":"x"}`}, "hincrby", []string{"f", "1"}, `{"f":"x"}`, failure},
		{state{kind: hash, value: `{"f":"x"}`}, "hsetnx", []string{"f", "1"}, `{"f":"x"}`, number(0)},
		{state{kind: hash, value: `{"f":"x"}`}, "type", nil, `{"f":"x"}`, textReply("hash")},
		{state{kind: hash, value: `{"f":"x"}`}, "set", []string{"a"}, `"a"`, okay},
		{state{kind: hash, value: `{"f":"x"}`}, "append", []string{"a"}, `{"f":"x"}`, wrongType},
		{state{kind: text, value: "a"}, "expire", []string{"-1"}, "no value", number(1)},
		{state{kind: text, value: "a"}, "getex", []string{"PERSIST"}, `"a"`, textReply("a")},
		{state{}, "pttl", nil, "no value", number(-2)},
	} {
		act, err := commands[test.name].compile(test.arguments)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		after, answer := act(test.before, now)
		if after.String() != test.after || answer != test.answer {
			t.Errorf("%s %v on %s gives %s and %+v", test.name, test.arguments, test.before, after, answer)
		}
	}
}
