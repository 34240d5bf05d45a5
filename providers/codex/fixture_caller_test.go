package codex_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
)

// call makes the call and returns its outcome: the status, the code of a problem, and each terminal
// event of a stream or job; "—" if the caller left.
func (s *fixture) call() string {
	res, err := s.caller.Do(s.request())
	if errors.Is(err, context.Canceled) {
		return "—"
	} else if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusAccepted:
		return "202" + s.followJob(res.Header.Get("Location"))
	case res.Header.Get("Content-Type") == "text/event-stream":
		if terminal := s.readEvents(res.Body); terminal != "" {
			return fmt.Sprint(res.StatusCode, terminal)
		}
		return "—"
	}
	var body struct{ Code string }
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		return err.Error()
	}
	seen := fmt.Sprint(res.StatusCode)
	if res.Header.Get("Content-Type") == "application/problem+json" {
		seen += " " + body.Code
	}
	if wait := res.Header.Get("Retry-After"); wait != "" {
		seen += ", Retry-After " + wait
	}
	return seen
}

// request returns the caller's request. In phase sending it uses Expect: 100-continue, and sends
// the body after the fault.
func (s *fixture) request() *http.Request {
	const text = `{"prompt": "p"}`
	ctx, body := s.ctx, io.Reader(strings.NewReader(text))
	if s.fault.when == sending {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got100Continue: func() { close(s.reached) }})
		rest := body
		body = readerFunc(func(p []byte) (int, error) {
			select {
			case <-s.sent:
			case <-s.ctx.Done():
				return 0, s.ctx.Err()
			}
			return rest.Read(p)
		})
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/generate", body)
	if err != nil {
		panic(err)
	}
	if s.fault.when == sending {
		req.Header.Set("Expect", "100-continue")
	}
	req.ContentLength = int64(len(text))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Request-Id", "the-call")
	for i := 0; i < len(s.way.header); i += 2 {
		req.Header.Set(s.way.header[i], s.way.header[i+1])
	}
	return req
}

// followJob reads the events of a job to their end. A caller that leaves reconnects.
func (s *fixture) followJob(path string) string {
	for _, ctx := range []context.Context{s.ctx, s.t.Context()} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
		if err != nil {
			return err.Error()
		}
		req.Header.Set("Accept", "text/event-stream")
		res, err := s.caller.Do(req)
		if err != nil && ctx.Err() == nil {
			return ", " + err.Error()
		} else if err != nil {
			continue
		}
		defer res.Body.Close()
		if terminal := s.readEvents(res.Body); terminal != "" {
			return terminal
		}
	}
	return ", no end"
}

// readEvents returns the terminal event and all events after it, an error.
func (s *fixture) readEvents(body io.Reader) (terminal string) {
	var name string
	for lines := bufio.NewScanner(body); lines.Scan(); {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case field == "event" && terminal != "":
			terminal += ", and then " + value
		case field == "event" && value == "delta":
			once(s.seen)
		case field == "" && strings.HasPrefix(value, "job "):
			once(s.follows)
		case field == "event":
			name = value
		case field == "data" && name == "result":
			terminal += ", result"
		case field == "data" && name == "error":
			var problem struct{ Code string }
			_ = json.Unmarshal([]byte(value), &problem)
			terminal += ", error " + problem.Code
		}
	}
	return terminal
}

// once closes a channel unless it is closed. Only one goroutine may close it.
func once(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
