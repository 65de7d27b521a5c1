package main

import (
	"strings"
	"testing"
	"time"
)

const (
	write = `{"client":1,"start_ns":0,"end_ns":1,"key":"k","op":"set","args":["a"],"outcome":"ok","result":"OK"}` + "\n"
	read  = `{"client":1,"start_ns":2,"end_ns":3,"key":"k","op":"get","outcome":"ok","result":"a"}` + "\n"
	stale = `{"client":1,"start_ns":4,"end_ns":5,"key":"k","op":"get","outcome":"ok","result":null}` + "\n"
)

func TestExitCodesAndLastLine(t *testing.T) {
	for name, test := range map[string]struct {
		text, last string
		code       int
	}{
		"sound":      {write + read, "linearizable=1 violations=0", sound},
		"violated":   {write + read + stale, "linearizable=0 violations=1", violated},
		"empty":      {"", "operations=0", unreadable},
		"unreadable": {"nonsense", "unreadable, line 1", unreadable},
	} {
		var output strings.Builder
		code := run(strings.NewReader(test.text), &output, 10*time.Second, 5)
		lines := strings.Split(strings.TrimSpace(output.String()), "\n")
		if code != test.code || !strings.Contains(lines[len(lines)-1], test.last) {
			t.Errorf("%s: exit %d and\n%s", name, code, output.String())
		}
	}
}
