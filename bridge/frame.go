package bridge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

const maxKeptFrame = 64 << 10 // bytes of memory; what a longer event took is given back

// A frame writes out events as server-sent events, one after the other in the same memory.
type frame struct {
	text bytes.Buffer
	json *json.Encoder // to text; nil until it is needed
}

// of returns an event, whose data is JSON as encode makes it, without line breaks. It is valid until the next call. Without an
// id the reader keeps the last one.
func (f *frame) of(id, name string, data []byte) []byte {
	f.begin()
	f.text.Grow(len(data) + len(name) + len(id) + 24)
	if id != "" {
		f.field("id", id)
	}
	if name != "" {
		f.field("event", name)
	}
	f.text.WriteString("data: ")
	f.text.Write(data)
	f.text.WriteString("\n\n")
	return f.text.Bytes()
}

// encode returns a handler's event, which may take limit bytes of JSON, valid until the next call.
func (f *frame) encode(id int, name string, event any, limit int64) ([]byte, error) {
	f.begin()
	f.text.WriteString("id: ")
	f.text.Write(strconv.AppendInt(f.text.AvailableBuffer(), int64(id), 10))
	f.text.WriteByte('\n')
	if name != "" {
		f.field("event", name)
	}
	f.text.WriteString("data: ")
	if f.json == nil {
		f.json = json.NewEncoder(&f.text)
		f.json.SetEscapeHTML(false)
	}
	before := f.text.Len()
	if err := f.json.Encode(event); err != nil { // ends with a line break
		return nil, undeliverable(err)
	}
	if err := checkEventSize(f.text.Len()-before-1, limit); err != nil {
		return nil, err
	}
	f.text.WriteByte('\n')
	return f.text.Bytes(), nil
}

func (f *frame) begin() {
	if f.text.Cap() > maxKeptFrame {
		*f = frame{}
	}
	f.text.Reset()
}

func (f *frame) field(name, value string) {
	f.text.WriteString(name)
	f.text.WriteString(": ")
	f.text.WriteString(value)
	f.text.WriteByte('\n')
}

// encodeEvent returns the name of a handler's event and its JSON, to be kept.
func encodeEvent(event any, limit int64) (name string, data []byte, err error) {
	if name, err = eventName(event); err != nil {
		return "", nil, err
	}
	if data, err = encode(event); err != nil {
		return "", nil, undeliverable(err)
	}
	return name, data, checkEventSize(len(data), limit)
}

func eventName(event any) (name string, err error) {
	if typed, ok := event.(interface{ EventType() string }); ok {
		name = typed.EventType()
	}
	if name == "result" || name == "error" || name == "gap" || strings.ContainsAny(name, "\r\n\x00") {
		return "", fmt.Errorf("event type %q: it must be one line, and not result, error or gap, which are the bridge's own", name)
	}
	return name, nil
}

func undeliverable(err error) error { return fmt.Errorf("encode event: %w", err) }

func checkEventSize(n int, limit int64) error {
	if int64(n) <= limit {
		return nil
	}
	return fmt.Errorf("event of %d bytes, at most %d are allowed (Options.MaxResponseBytes, or max_response_bytes of the contract)", n, limit)
}
