package caio

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
)

const (
	maxEventLine = 1 << 20 // bytes
	maxEvent     = maxAnswer
)

// readEvents parses server-sent events. It ends with the stream, with an error if the stream broke
// or an event is too large. It skips comments, the lines with a colon in front that services send
// as heartbeats.
func readEvents(r io.Reader) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 0, 4096), maxEventLine)
		lines.Split(splitEventLine)
		event := Event{Name: "message"}
		var data []byte
		for lines.Scan() {
			line := lines.Bytes()
			if len(line) == 0 {
				if data != nil {
					event.Data = bytes.TrimSuffix(data, []byte("\n"))
					if !yield(event, nil) {
						return
					}
				}
				event, data = Event{Name: "message", ID: event.ID}, nil
				continue
			}
			field, value, _ := bytes.Cut(line, []byte(":"))
			value = bytes.TrimPrefix(value, []byte(" "))
			switch string(field) {
			case "event":
				event.Name = string(value)
			case "id":
				event.ID = string(value)
			case "data":
				data = append(append(data, value...), '\n')
			}
			if len(data) > maxEvent {
				yield(Event{}, fmt.Errorf("an event of the stream is larger than %d MiB", maxEvent>>20))
				return
			}
		}
		switch err := lines.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			yield(Event{}, fmt.Errorf("a line of the stream is longer than %d MiB", maxEventLine>>20))
		case err != nil:
			yield(Event{}, fmt.Errorf("the stream broke: %w", transportError(err)))
		}
	}
}

// splitEventLine splits at "\n", "\r\n" and "\r", as the specification of server-sent events
// requires.
func splitEventLine(data []byte, atEOF bool) (advance int, token []byte, err error) {
	at := bytes.IndexAny(data, "\r\n")
	switch {
	case at < 0 && !atEOF, at >= 0 && data[at] == '\r' && at+1 == len(data) && !atEOF:
		return 0, nil, nil // needs more data: perhaps a "\n" follows the "\r"
	case at < 0:
		return len(data), nil, nil // drops an unfinished line
	case data[at] == '\r' && at+1 < len(data) && data[at+1] == '\n':
		return at + 2, data[:at], nil
	}
	return at + 1, data[:at], nil
}
