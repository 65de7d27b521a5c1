package history

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// limit is ample for histories of a few lines.
const limit = 20 * time.Second

func judgeFile(t *testing.T, path string) *Report {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	history, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return history.Judge(limit)
}

func histories(t *testing.T, folder string, least int) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.jsonl"))
	if err != nil || len(paths) < least {
		t.Fatalf("%d histories in %s, expected at least %d (%v)", len(paths), folder, least, err)
	}
	return paths
}

func TestGoodHistoriesAreLinearizable(t *testing.T) {
	for _, path := range histories(t, "linearizable", 12) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".jsonl"), func(t *testing.T) {
			report := judgeFile(t, path)
			if report.Count(Linearizable) != len(report.Keys) || report.Operations() == 0 {
				t.Fatalf("%s\n%+v", report.Summary(), report.Keys)
			}
		})
	}
}

func TestPlantedViolationsAreFound(t *testing.T) {
	for _, path := range histories(t, "violation", 23) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".jsonl"), func(t *testing.T) {
			report := judgeFile(t, path)
			if report.Count(Violation) != 1 {
				t.Fatalf("not found: %s", report.Summary())
			}
			var text strings.Builder
			report.Keys[0].Describe(&text, 10)
			if report.Keys[0].Culprit == nil || !strings.Contains(text.String(), ">>>") {
				t.Fatalf("found, but not explained:\n%s", text.String())
			}
		})
	}
}

func judgeText(t *testing.T, text string) *Report {
	t.Helper()
	history, err := Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return history.Judge(limit)
}

// operation is a line with an answer already in JSON; an empty answer means an unknown outcome.
func operation(client, start, end int, name, arguments, result string) string {
	if result == "" {
		return fmt.Sprintf(`{"client":%d,"start_ns":%d,"end_ns":null,"key":"k","op":%q,"args":[%s],"outcome":"unknown"}`+"\n", client, start, name, arguments)
	}
	return fmt.Sprintf(`{"client":%d,"start_ns":%d,"end_ns":%d,"key":"k","op":%q,"args":[%s],"outcome":"ok","result":%s}`+"\n",
		client, start, end, name, arguments, result)
}

func TestExplanationNamesTheAnswerAndDropsOtherReads(t *testing.T) {
	var text strings.Builder
	text.WriteString(operation(1, 0, 1, "set", `"a"`, `"OK"`))
	for at := 1; at < 40; at++ {
		text.WriteString(operation(2, at*10, at*10+1, "get", "", `"a"`))
	}
	text.WriteString(operation(1, 1000, 1001, "set", `"b"`, `"OK"`))
	text.WriteString(operation(3, 1002, 1003, "get", "", `"a"`))
	text.WriteString(operation(3, 1010, 1011, "get", "", `"b"`))
	report := judgeText(t, text.String())
	key := report.Keys[0]
	if key.Culprit == nil || key.Culprit.start != 1002 || len(key.Around) != 3 {
		t.Fatalf("culprit %v among %d operations", key.Culprit, len(key.Around))
	}
}

func TestManyUnknownWritesThatNobodySawAreDecided(t *testing.T) {
	var text strings.Builder
	for at := range 300 {
		text.WriteString(operation(at, at, 0, "set", fmt.Sprintf(`"lost-%d-"`, at), ""))
	}
	for at := range 300 {
		text.WriteString(operation(1, 1000+at*10, 1001+at*10, "set", fmt.Sprintf(`"v%d"`, at), `"OK"`))
		text.WriteString(operation(1, 1002+at*10, 1003+at*10, "get", "", fmt.Sprintf(`"v%d"`, at)))
	}
	if report := judgeText(t, text.String()); report.Count(Linearizable) != 1 {
		t.Fatal(report.Summary())
	}
}

func TestIncrementsAreCountedWithoutAnOrder(t *testing.T) {
	text := operation(1, 0, 10, "incr", "", "1") + operation(1, 11, 20, "incrby", `"4"`, "5") + operation(2, 12, 0, "incr", "", "")
	for reading, expected := range map[string]Increments{
		`"5"`:  {Acknowledged: 2, Unknown: 1},
		`"6"`:  {Acknowledged: 2, Unknown: 1},
		`"4"`:  {Acknowledged: 2, Unknown: 1, Lost: 1},
		`"8"`:  {Acknowledged: 2, Unknown: 1, Extra: 2},
		`null`: {Acknowledged: 2, Unknown: 1, Lost: 5},
	} {
		report := judgeText(t, text+operation(3, 30, 40, "get", "", reading))
		if report.Increments() != expected {
			t.Errorf("a reading of %s gives %+v", reading, report.Increments())
		}
	}
}

func TestTimeIsBounded(t *testing.T) {
	// Equal increments of unknown outcome in any number of orders, and a reading that none of them explains.
	var text strings.Builder
	for at := range 60 {
		text.WriteString(operation(at, at, 0, "incrby", fmt.Sprintf(`"%d"`, 1<<(at%30)), ""))
	}
	text.WriteString(operation(99, 100, 101, "get", "", `"-1"`))
	history, err := Read(strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	report := history.Judge(200 * time.Millisecond)
	if report.Count(Undecided) != 1 || report.Increments().Lost != 1 {
		t.Fatal(report.Summary())
	}
}
