// Package sse writes server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html).
package sse

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// MediaType is the media type of a stream of events.
const MediaType = "text/event-stream"

// Comment is a heartbeat. Readers ignore it.
const Comment = ": heartbeat\n\n"

// maxKeptBuffer is the memory that an Encoder keeps for the next event, in bytes.
const maxKeptBuffer = 64 << 10

// IsName reports if a name can stand in an event: it is one line.
func IsName(name string) bool { return !strings.ContainsAny(name, "\r\n\x00") }

// AppendEvent appends an event. data is JSON without line breaks. An empty name or id is left out.
func AppendEvent(to []byte, id, name string, data []byte) []byte {
	if id != "" {
		to = append(append(append(to, "id: "...), id...), '\n')
	}
	to = appendName(to, name)
	to = append(append(to, "data: "...), data...)
	return append(to, "\n\n"...)
}

func appendName(to []byte, name string) []byte {
	if name == "" {
		return to
	}
	return append(append(append(to, "event: "...), name...), '\n')
}

// An Encoder writes events as JSON, one after the other in the same memory. It is not safe for
// concurrent use.
type Encoder struct {
	text bytes.Buffer
	json *json.Encoder // writes to text; nil before its first use
}

// Encode returns an event of at most limit bytes of JSON. The result is valid until Reset. Errors:
// [SizeError], or the error of the JSON encoder.
func (e *Encoder) Encode(id int, name string, event any, limit int64) ([]byte, error) {
	e.text.WriteString("id: ")
	e.text.Write(strconv.AppendInt(e.text.AvailableBuffer(), int64(id), 10))
	e.text.WriteByte('\n')
	e.text.Write(appendName(e.text.AvailableBuffer(), name))
	e.text.WriteString("data: ")
	if e.json == nil {
		e.json = json.NewEncoder(&e.text)
		e.json.SetEscapeHTML(false)
	}
	before := e.text.Len()
	if err := e.json.Encode(event); err != nil { // ends with a line break
		return nil, fmt.Errorf("encode event: %w", err)
	}
	if err := CheckSize(e.text.Len()-before-1, limit); err != nil {
		return nil, err
	}
	e.text.WriteByte('\n')
	return e.text.Bytes(), nil
}

// Reset prepares the Encoder for the next event. It gives back the memory of a large one.
func (e *Encoder) Reset() {
	if e.text.Cap() > maxKeptBuffer {
		*e = Encoder{}
	}
	e.text.Reset()
}

// A SizeError is the error for an event that is too large.
type SizeError struct {
	Size  int   // bytes
	Limit int64 // bytes
}

// Error states both sizes.
func (e *SizeError) Error() string {
	return fmt.Sprintf("event of %d bytes, at most %d are allowed", e.Size, e.Limit)
}

// CheckSize returns a [SizeError] as error if n is more than limit.
func CheckSize(n int, limit int64) error {
	if int64(n) <= limit {
		return nil
	}
	return &SizeError{n, limit}
}
