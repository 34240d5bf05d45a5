package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// A streamEvent is a server-sent event with an object as data.
type streamEvent struct {
	name string
	data map[string]any
}

// stream posts body and returns the events of the response.
func stream(t *testing.T, url, body string) (events []streamEvent) {
	t.Helper()
	status, header, text := request(t, http.MethodPost, url, body, "Accept", "text/event-stream")
	if got := header.Get("Content-Type"); status != 200 || got != "text/event-stream" {
		t.Fatalf("response = %d %s, want a stream", status, got)
	}
	var e streamEvent
	lines := bufio.NewScanner(strings.NewReader(text))
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
