// Package history judges what clients saw of a key-value store: whether some order of their operations, one after the
// other and each between its start and its end, explains every answer.
//
// It shares no code with what it judges: it reads plain lines, and its own small model says what each command means.
package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Outcomes of an operation.
const (
	// happened: the answer is known.
	happened = "ok"
	// unclear: it may have happened at any time after its start, or never.
	unclear = "unknown"
	// refused: it certainly did not happen.
	refused = "failed"
)

// Operation is one command on one key, as a client saw it.
type Operation struct {
	line       int
	client     int
	start, end int64
	key, name  string
	arguments  []string
	outcome    string
	// seen is the answer in canonical form; empty when the outcome is unknown.
	seen string
	act  action
	// reads says that it never changes anything.
	reads bool
}

// History is everything there is to judge.
type History struct {
	// Operations by key, in the order of the file, without those that certainly did not happen.
	Operations map[string][]Operation
	// initial states by key; several are alternatives. A key that is not named starts without a value.
	initial map[string][]state
	// offset bounds how far the cluster's clock is from the recorder's, in nanoseconds.
	offset int64
	// refused counts operations that certainly did not happen.
	refused int
}

// record is a line: a header, an initial value, or an operation.
type record struct {
	Format        *int         `json:"format"`
	ClockOffsetMs *int64       `json:"clock_offset_ms"`
	Initial       *initialLine `json:"initial"`

	Client  int             `json:"client"`
	StartNs *int64          `json:"start_ns"`
	EndNs   *int64          `json:"end_ns"`
	Key     *string         `json:"key"`
	Op      string          `json:"op"`
	Args    []string        `json:"args"`
	Outcome string          `json:"outcome"`
	Result  json.RawMessage `json:"result"`
}

type initialLine struct {
	Key      string          `json:"key"`
	Value    json.RawMessage `json:"value"`
	ExpireMs *int64          `json:"expire_ms"`
}

// Read parses a history. An error names the line, and means that nothing was judged.
func Read(input io.Reader) (*History, error) {
	history := &History{Operations: map[string][]Operation{}, initial: map[string][]state{}}
	lines := bufio.NewReader(input)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if problem := history.take(number, bytes.TrimSpace(line)); problem != nil {
			return nil, fmt.Errorf("line %d: %w", number, problem)
		}
		if err != nil {
			return history, nil
		}
	}
}

func (h *History) take(number int, line []byte) error {
	if len(line) == 0 || line[0] == '#' {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	var parsed record
	if err := decoder.Decode(&parsed); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one object")
	}
	switch {
	case parsed.Format != nil:
		return h.takeHeader(&parsed)
	case parsed.Initial != nil:
		return h.takeInitial(parsed.Initial)
	}
	return h.takeOperation(number, &parsed)
}

func (h *History) takeHeader(parsed *record) error {
	if *parsed.Format != 1 {
		return fmt.Errorf("format %d, while this program reads format 1", *parsed.Format)
	}
	if len(h.Operations) > 0 {
		return errors.New("the header must stand before the operations")
	}
	if parsed.ClockOffsetMs != nil {
		if *parsed.ClockOffsetMs < 0 {
			return errors.New("clock_offset_ms must not be negative")
		}
		h.offset = *parsed.ClockOffsetMs * 1_000_000
	}
	return nil
}

func (h *History) takeInitial(parsed *initialLine) error {
	start := state{}
	var value string
	var fields map[string]string
	switch {
	case len(parsed.Value) == 0:
		return errors.New("an initial value must be null, a string, or an object of strings")
	case string(parsed.Value) == "null":
	case json.Unmarshal(parsed.Value, &value) == nil:
		start = state{kind: text, value: value}
	case json.Unmarshal(parsed.Value, &fields) == nil && len(fields) > 0:
		start = start.withFields(fields)
	default:
		return errors.New("an initial value must be null, a string, or an object of strings")
	}
	if parsed.ExpireMs != nil && start.kind != missing {
		start = start.expiringAt(*parsed.ExpireMs)
	}
	h.initial[parsed.Key] = append(h.initial[parsed.Key], start)
	return nil
}

func (h *History) takeOperation(number int, parsed *record) error {
	name := strings.ToLower(parsed.Op)
	known, found := commands[name]
	switch {
	case !found:
		return fmt.Errorf("the operation %q is not modelled", parsed.Op)
	case parsed.Key == nil:
		return errors.New("an operation lacks its key")
	case parsed.StartNs == nil:
		return errors.New("an operation lacks start_ns")
	case parsed.EndNs != nil && *parsed.EndNs < *parsed.StartNs:
		return errors.New("an operation ends before it starts")
	}
	act, err := known.compile(parsed.Args)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	operation := Operation{line: number, client: parsed.Client, start: *parsed.StartNs, end: forever, key: *parsed.Key,
		name: name, arguments: parsed.Args, outcome: parsed.Outcome, act: act, reads: known.reads}
	switch parsed.Outcome {
	case refused:
		h.refused++
		return nil
	case unclear:
	case happened:
		if parsed.EndNs == nil {
			return errors.New("an operation with an answer lacks end_ns")
		}
		operation.end = *parsed.EndNs
		if operation.seen, err = canonical(parsed.Result); err != nil {
			return err
		}
	default:
		return fmt.Errorf("the outcome %q is none of ok, unknown, failed", parsed.Outcome)
	}
	h.Operations[operation.key] = append(h.Operations[operation.key], operation)
	return nil
}

// canonical turns an answer into the form in which the model gives its own.
func canonical(result json.RawMessage) (string, error) {
	if len(result) == 0 {
		return "", errors.New("an operation with an answer lacks its result")
	}
	decoder := json.NewDecoder(bytes.NewReader(result))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return "", err
	}
	switch value := value.(type) {
	case nil:
		return null.canonical, nil
	case string:
		return textReply(value).canonical, nil
	case json.Number:
		whole, err := strconv.ParseInt(value.String(), 10, 64)
		if err != nil {
			return "", fmt.Errorf("the result %s is no integer", value)
		}
		return number(whole).canonical, nil
	case map[string]any:
		return canonicalObject(result, value)
	}
	return "", fmt.Errorf("the result %s has no known form", result)
}

// canonicalObject reads `{"error": "CODE text"}` or `{"fields": {…}}`.
func canonicalObject(result json.RawMessage, value map[string]any) (string, error) {
	if message, isError := value["error"].(string); isError && len(value) == 1 {
		code, _, _ := strings.Cut(message, " ")
		return "error:" + code, nil
	}
	var parsed struct {
		Fields map[string]string `json:"fields"`
	}
	if err := json.Unmarshal(result, &parsed); err != nil || parsed.Fields == nil || len(value) != 1 {
		return "", fmt.Errorf(`the result %s is neither {"error": …} nor {"fields": {…}}`, result)
	}
	sorted, err := json.Marshal(parsed.Fields)
	return "fields:" + string(sorted), err
}

func (o *Operation) String() string {
	var line strings.Builder
	fmt.Fprintf(&line, "line %d  client %d  [%d, ", o.line, o.client, o.start)
	if o.end == forever {
		line.WriteString("…")
	} else {
		line.WriteString(strconv.FormatInt(o.end, 10))
	}
	fmt.Fprintf(&line, "]  %s", o.name)
	for _, argument := range o.arguments {
		line.WriteString(" " + strconv.Quote(argument))
	}
	if o.outcome == unclear {
		return line.String() + "  → unknown"
	}
	return line.String() + "  → " + o.seen
}
