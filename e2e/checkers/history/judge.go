package history

import (
	"hash/maphash"
	"math"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Verdict on one key.
type Verdict string

const (
	// Linearizable: an order explains every answer.
	Linearizable Verdict = "linearizable"
	// Violation: no order does.
	Violation Verdict = "violation"
	// Undecided: the time given was not enough.
	Undecided Verdict = "undecided"
)

// KeyReport is what was found about one key.
type KeyReport struct {
	Key        string
	Verdict    Verdict
	Operations int
	Increments Increments
	// Culprit is the operation whose answer left no order: up to it there was one. Only for a violation.
	Culprit *Operation
	// Around are the operations that the violation needs, in the order of their starts, the culprit among them.
	Around []Operation
}

// Report is what was found about a history.
type Report struct {
	// Keys in alphabetical order.
	Keys []KeyReport
	// Refused counts operations that certainly did not happen, which are not judged.
	Refused int
}

// judge decides about one key.
type judge struct {
	initial []state
	offset  int64
	hasher  maphash.Seed
}

// Judge decides about each key on its own, within the time given to each. Explaining a violation may take as long again.
func (h *History) Judge(perKey time.Duration) *Report {
	keys := make([]string, 0, len(h.Operations))
	for key := range h.Operations {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	report := &Report{Keys: make([]KeyReport, len(keys)), Refused: h.refused}
	work := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for at := range work {
				report.Keys[at] = h.judgeKey(keys[at], perKey)
			}
		})
	}
	for at := range keys {
		work <- at
	}
	close(work)
	workers.Wait()
	return report
}

func (h *History) judgeKey(key string, limit time.Duration) KeyReport {
	operations := h.Operations[key]
	initial := h.initial[key]
	if len(initial) == 0 {
		initial = []state{{}}
	}
	judge := judge{initial: initial, offset: h.offset, hasher: maphash.MakeSeed()}
	report := KeyReport{Key: key, Operations: len(operations), Increments: countIncrements(operations, initial)}
	report.Verdict = judge.decide(operations, limit)
	if report.Verdict == Violation {
		judge.explain(operations, &report, limit)
	}
	return report
}

// decide first leaves out unknown writes of values that nobody saw. Leaving an unknown operation out means that it never happened, so an order found
// without it stands; only when there is none, they are taken in.
func (j *judge) decide(operations []Operation, limit time.Duration) Verdict {
	deadline := time.Now().Add(limit)
	operations = sharpen(operations, j.initial)
	visible := withoutUnseen(operations)
	if len(visible) < len(operations) {
		if verdict := j.check(visible, limit/2); verdict == Linearizable {
			return verdict
		}
	}
	return j.check(operations, time.Until(deadline))
}

func withoutUnseen(operations []Operation) []Operation {
	var seen strings.Builder
	for _, operation := range operations {
		seen.WriteString(operation.seen)
		seen.WriteByte('\n')
	}
	answers := seen.String()
	return slices.DeleteFunc(slices.Clone(operations), func(operation Operation) bool {
		return operation.outcome == unclear && operation.name == "set" && !strings.Contains(answers, operation.arguments[0])
	})
}

// check asks the checker, within a time.
func (j *judge) check(operations []Operation, limit time.Duration) Verdict {
	if limit <= 0 {
		return Undecided
	}
	timed := make([]porcupine.Operation, 0, len(operations))
	for at := range operations {
		operation := &operations[at]
		timed = append(timed, porcupine.Operation{ClientId: operation.client, Input: operation, Call: operation.start, Return: operation.end})
	}
	model := porcupine.NondeterministicModel{
		Init: j.begin,
		Step: func(key, input, _ any) []any { return j.step(key.(state), input.(*Operation)) },
		Hash: func(key any) uint64 { return maphash.Comparable(j.hasher, key.(state)) },
	}
	switch porcupine.CheckOperationsTimeout(model.ToModel(), timed, limit) {
	case porcupine.Ok:
		return Linearizable
	case porcupine.Illegal:
		return Violation
	}
	return Undecided
}

func (j *judge) begin() []any {
	states := make([]any, 0, len(j.initial))
	for _, start := range j.initial {
		states = append(states, start)
	}
	return states
}

// step gives the states an operation may leave behind, given what it answered.
func (j *judge) step(key state, operation *Operation) []any {
	now := window{low: operation.start - j.offset, high: operation.end}
	if now.high < math.MaxInt64-j.offset {
		now.high += j.offset
	}
	var after []any
	for _, visible := range key.lives(now) {
		next, answer := operation.act(visible, now)
		if operation.outcome == unclear || answer.matches(operation.seen) {
			after = append(after, next)
		}
	}
	return after
}

// explain finds the first answer that left no order, then drops reads the contradiction does not need.
func (j *judge) explain(operations []Operation, report *KeyReport, limit time.Duration) {
	deadline := time.Now().Add(limit)
	var ends []int64
	for _, operation := range operations {
		if operation.outcome == happened {
			ends = append(ends, operation.end)
		}
	}
	slices.Sort(ends)
	// Histories that end earlier hold fewer answers, so once there is no order, there is none later.
	first := sort.Search(len(ends), func(at int) bool {
		return j.decide(until(operations, ends[at]), time.Until(deadline)) == Violation
	})
	if first == len(ends) {
		return
	}
	prefix := until(operations, ends[first])
	for at := len(prefix) - 1; at >= 0 && time.Now().Before(deadline); at-- {
		without := slices.Delete(slices.Clone(prefix), at, at+1)
		if prefix[at].reads && prefix[at].end != ends[first] && j.decide(without, time.Until(deadline)) == Violation {
			prefix = without
		}
	}
	slices.SortStableFunc(prefix, func(left, right Operation) int { return int(min(1, max(-1, left.start-right.start))) })
	report.Around = prefix
	for at := range prefix {
		if prefix[at].end == ends[first] {
			report.Culprit = &prefix[at]
		}
	}
}

// until gives the history as it was known at a moment: what had not started is gone, what had not ended is unknown.
func until(operations []Operation, moment int64) []Operation {
	var known []Operation
	for _, operation := range operations {
		if operation.start > moment {
			continue
		}
		if operation.end > moment {
			operation.outcome, operation.seen, operation.end = unclear, "", forever
		}
		known = append(known, operation)
	}
	return known
}
