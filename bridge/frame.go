package bridge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

const maxKeptFrame = 64 << 10 // bytes of memory; what a longer event took is given back

// frameOf writes an event out, whose data is JSON as encode makes it, without line breaks. Without an id the reader keeps the
// last one.
func frameOf(id, name string, data []byte) []byte {
	var text bytes.Buffer
	text.Grow(len(data) + len(name) + len(id) + 24)
	if id != "" {
		text.WriteString("id: " + id + "\n")
	}
	writeName(&text, name)
	text.WriteString("data: ")
	text.Write(data)
	text.WriteString("\n\n")
	return text.Bytes()
}

func writeName(text *bytes.Buffer, name string) {
	if name != "" {
		text.WriteString("event: ")
		text.WriteString(name)
		text.WriteByte('\n')
	}
}

// A frame writes out a handler's events, one after the other in the same memory.
type frame struct {
	text bytes.Buffer
	json *json.Encoder // to text; nil until it is needed
}

// encode returns an event, which may take limit bytes of JSON. It is valid until clear is called.
func (f *frame) encode(id int, name string, event any, limit int64) ([]byte, error) {
	f.text.WriteString("id: ")
	f.text.Write(strconv.AppendInt(f.text.AvailableBuffer(), int64(id), 10))
	f.text.WriteByte('\n')
	writeName(&f.text, name)
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

func (f *frame) clear() {
	if f.text.Cap() > maxKeptFrame {
		*f = frame{}
	}
	f.text.Reset()
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
