package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// A streamEvent is a server-sent event whose data is an object.
type streamEvent struct {
	name string
	data map[string]any
}

// stream posts body and returns the events of the answer.
func stream(t *testing.T, url, body string) (events []streamEvent) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	res, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); res.StatusCode != 200 || got != "text/event-stream" {
		t.Fatalf("answer = %d %s, want a stream", res.StatusCode, got)
	}
	var e streamEvent
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "event":
			e.name = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.data); err != nil {
				t.Fatal(err)
			}
		case "":
			if e.name != "" {
				events = append(events, e)
			}
			e = streamEvent{}
		}
	}
	if err := lines.Err(); err != nil || len(events) == 0 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	return events
}
