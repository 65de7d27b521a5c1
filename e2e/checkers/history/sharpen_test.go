package history

import (
	"hash/maphash"
	"math/rand"
	"strconv"
	"testing"
)

// What is concluded about unknown operations must never change a verdict: small random histories, most of them nonsense, are judged with and
// without it.
func TestSharpeningNeverChangesTheVerdict(t *testing.T) {
	judge := judge{initial: []state{{}}, hasher: maphash.MakeSeed()}
	verdicts := map[Verdict]int{}
	for seed := range int64(4000) {
		operations := randomHistory(rand.New(rand.NewSource(seed)))
		plain, sharp := judge.check(operations, limit), judge.decide(operations, limit)
		if plain != sharp {
			for _, operation := range operations {
				t.Log(operation.String())
			}
			t.Fatalf("seed %d: %s without, %s with it", seed, plain, sharp)
		}
		verdicts[plain]++
	}
	if verdicts[Linearizable] < 400 || verdicts[Violation] < 400 {
		t.Fatalf("the histories prove little: %v", verdicts)
	}
}

// randomHistory holds a few overlapping operations on a register or a counter, with answers that are often right.
func randomHistory(random *rand.Rand) []Operation {
	isCounter := random.Intn(2) == 0
	answers := []string{"null", "text:1", "text:2", "text:3", "text:OK"}
	var operations []Operation
	for at := range 3 + random.Intn(4) {
		start := int64(at*10 + random.Intn(10))
		operation := Operation{line: at, start: start, end: start + 1 + int64(random.Intn(40)), outcome: happened}
		switch {
		case random.Intn(2) == 0:
			operation.name, operation.seen = "get", answers[random.Intn(len(answers))]
		case isCounter:
			operation.name, operation.seen = "incr", "int:"+strconv.Itoa(1+random.Intn(3))
		default:
			value := []string{"1", "2", "3", "OK"}[random.Intn(4)]
			operation.name, operation.arguments, operation.seen = "set", []string{value}, "text:OK"
		}
		if random.Intn(3) == 0 {
			operation.outcome, operation.seen, operation.end = unclear, "", forever
		}
		command := commands[operation.name]
		operation.reads = command.reads
		act, err := command.compile(operation.arguments)
		if err != nil {
			panic(err)
		}
		operation.act = act
		operations = append(operations, operation)
	}
	return operations
}
