package history

import (
	"fmt"
	"io"
)

// Describe writes what is wrong with a key, and nothing where all is well.
func (k *KeyReport) Describe(output io.Writer, show int) {
	if k.Increments.Lost+k.Increments.Extra > 0 {
		fmt.Fprintf(output, "key %q: the last reading misses %d acknowledged increments and holds %d that nobody made\n", k.Key, k.Increments.Lost, k.Increments.Extra)
	}
	switch k.Verdict {
	case Undecided:
		fmt.Fprintf(output, "key %q: undecided, %d operations were too many for the time given\n", k.Key, k.Operations)
	case Violation:
		fmt.Fprintf(output, "key %q: violation\n", k.Key)
		k.describeViolation(output, show)
	}
}

func (k *KeyReport) describeViolation(output io.Writer, show int) {
	if k.Culprit == nil {
		fmt.Fprintln(output, "    the time given was not enough to find the answer that left no order")
		return
	}
	fmt.Fprintln(output, "    an order explains all answers until the marked one, and none explains that one too (times in nanoseconds):")
	hidden := max(0, len(k.Around)-show)
	for at := range k.Around[:hidden] {
		if k.Around[at].line == k.Culprit.line {
			hidden = at
			break
		}
	}
	if hidden > 0 {
		fmt.Fprintf(output, "    … %d earlier operations\n", hidden)
	}
	for _, operation := range k.Around[hidden:] {
		mark := "   "
		if operation.line == k.Culprit.line {
			mark = ">>>"
		}
		fmt.Fprintf(output, "    %s %s\n", mark, operation.String())
	}
}

// Count gives the number of keys with a verdict.
func (r *Report) Count(verdict Verdict) int {
	count := 0
	for _, key := range r.Keys {
		if key.Verdict == verdict {
			count++
		}
	}
	return count
}

// Operations gives the number of operations judged.
func (r *Report) Operations() int {
	total := 0
	for _, key := range r.Keys {
		total += key.Operations
	}
	return total
}

// Increments sums what was counted over all keys.
func (r *Report) Increments() Increments {
	var total Increments
	for _, key := range r.Keys {
		total.Acknowledged += key.Increments.Acknowledged
		total.Unknown += key.Increments.Unknown
		total.Lost += key.Increments.Lost
		total.Extra += key.Increments.Extra
	}
	return total
}

// Summary is the last line, for machines.
func (r *Report) Summary() string {
	increments := r.Increments()
	return fmt.Sprintf("history: keys=%d operations=%d refused=%d linearizable=%d violations=%d undecided=%d increments=%d increments_lost=%d increments_extra=%d",
		len(r.Keys), r.Operations(), r.Refused, r.Count(Linearizable), r.Count(Violation), r.Count(Undecided),
		increments.Acknowledged, increments.Lost, increments.Extra)
}
