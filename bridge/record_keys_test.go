package bridge_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// A call whose answer panics on the way out left its Idempotency-Key in use for good, and a place in the ledger with it.
func TestPanicUnderAKey(t *testing.T) {
	t.Parallel()
	b := newBridge(t, loadContract(t), shouter(func(_ context.Context, _ shoutRequest, send func(word) error) (shoutResponse, error) {
		if err := send(word{"A"}); err != nil {
			return shoutResponse{}, err
		}
		return shoutResponse{}, errors.New("no more")
	}), &bridge.Options{Jobs: bridge.JobOptions{MaxRecords: 1}})
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.ServeHTTP(&fading{ResponseWriter: w}, r) // which panics at the second event, the error
	}))
	for range 3 {
		res, err := srv.Client().Do(newRequest(t, "POST", srv.URL+"/shout", `{"text": "a"}`, append(wantEvents, "Idempotency-Key", "k")...))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 200 || err == nil || strings.Contains(string(body), "event: error") {
			t.Errorf("%d %s (%v), want one event, and then a broken connection", res.StatusCode, body, err)
		}
	}
}

// An answer from before a reload is no answer of the contract that is served now.
func TestReplayUnderAnotherContract(t *testing.T) {
	t.Parallel()
	load := func(version, answers string) *contract.Contract {
		c, err := contract.Load(fstest.MapFS{
			"contract.yaml":         {Data: []byte(strings.Replace(shouterContract, "1.2.0", version, 1))},
			"schemas/request.json":  {Data: []byte(shouterRequest)},
			"schemas/response.json": {Data: []byte(answers)},
		}, "contract.yaml")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	b := newBridge(t, load("1.2.0", shouterResponse), shouter(shout), nil)
	srv := serve(t, b)
	post(t, srv, "/shout", `{"text": "a"}`, "Idempotency-Key", "k")
	volume := func(context.Context, shoutRequest) (map[string]int, error) { return map[string]int{"volume": 3}, nil }
	next := routes{bridge.Unary("POST /shout", bridge.HandlerFunc(volume), bridge.Serves("shouting"))}
	if err := b.Reload(load("2.0.0", `{"type": "object", "required": ["volume"], "properties": {"volume": {"type": "integer"}}}`), next); err != nil {
		t.Fatal(err)
	}
	if got := post(t, srv, "/shout", `{"text": "a"}`, "Idempotency-Key", "k"); got.Status != 422 || got.problem(t).Code != "idempotency_key_reused" {
		t.Errorf("the old key: %d %s", got.Status, got.Body)
	}
	if got := post(t, srv, "/shout", `{"text": "a"}`, "Idempotency-Key", "l"); got.Status != 200 || got.Body != `{"volume":3}` {
		t.Errorf("a new key: %d %s", got.Status, got.Body)
	}
}
