// Command history-check judges a history of client operations; the format is described in the README beside this module.
//
//	history-check [-seconds-per-key N] [-show N] FILE    a file, or - for standard input
//
// It exits with 0 only if at least one operation was judged and every key is linearizable; with 1 for a violation, with 2 for a
// history that cannot be read or holds nothing to judge, with 3 when only undecided keys stand in the way.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"strata.example/checkers/history"
)

const (
	sound = iota
	violated
	unreadable
	undecided
)

func main() {
	seconds := flag.Float64("seconds-per-key", 30, "time for each key before it counts as undecided")
	show := flag.Int("show", 12, "operations shown before the one that left no order")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "name one history, or - for standard input")
		os.Exit(unreadable)
	}
	input, err := open(flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(unreadable)
	}
	os.Exit(run(input, os.Stdout, time.Duration(*seconds*float64(time.Second)), *show))
}

func open(path string) (io.Reader, error) {
	if path == "-" {
		return os.Stdin, nil
	}
	return os.Open(path)
}

func run(input io.Reader, output io.Writer, perKey time.Duration, show int) int {
	read, err := history.Read(input)
	if err != nil {
		fmt.Fprintf(output, "history: unreadable, %v\n", err)
		return unreadable
	}
	report := read.Judge(perKey)
	for _, key := range report.Keys {
		key.Describe(output, show)
	}
	fmt.Fprintln(output, report.Summary())
	switch {
	case report.Count(history.Violation) > 0 || report.Increments().Lost+report.Increments().Extra > 0:
		return violated
	case report.Count(history.Undecided) > 0:
		return undecided
	case report.Operations() == 0:
		return unreadable
	}
	return sound
}
