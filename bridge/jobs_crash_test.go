//go:build unix

package bridge_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/jobfile"
)

// A process of its own, which a test can kill: it serves until then.
const (
	storeVariable = "CAIO_BRIDGE_TEST_STORE" // the file to keep jobs in
	limitVariable = "CAIO_BRIDGE_TEST_LIMIT" // how large files may become, in bytes
	keptVariable  = "CAIO_BRIDGE_TEST_KEPT"  // Options.MaxKept
	fullVariable  = "CAIO_BRIDGE_TEST_FULL"  // set if the limit holds when the bridge opens the file
)

func TestBridgeProcess(t *testing.T) {
	store := os.Getenv(storeVariable)
	if store == "" {
		t.Skip("this is the process that other tests start")
	}
	kept, _ := strconv.Atoi(os.Getenv(keptVariable)) // 0 means the default
	open := func() *bridge.Bridge {
		return newBridge(t, loadContract(t, "max_concurrent_requests: 2", "max_concurrent_requests: 100"), slowShouter(), &bridge.Options{Jobs: bridge.JobOptions{Store: openJobFile(t, store), MaxRecords: kept}})
	}
	var b *bridge.Bridge
	if os.Getenv(fullVariable) == "" {
		b = open()
	}
	if limit := os.Getenv(limitVariable); limit != "" {
		signal.Ignore(syscall.SIGXFSZ) // so that writing beyond the limit is an error, as it is on a full disk
		var size syscall.Rlimit
		fmt.Sscan(limit, &size.Cur)
		size.Max = size.Cur
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &size); err != nil {
			t.Fatal(err)
		}
	}
	if b == nil {
		b = open()
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("http://" + ln.Addr().String())
	t.Error(b.Serve(t.Context(), ln)) // until killed
}

// slowShouter never answers what is to be shouted slowly.
func slowShouter() bridge.Provider {
	return shouter(func(ctx context.Context, req shoutRequest, send func(word) error) (shoutResponse, error) {
		if req.Text == "slow" {
			err := send(word{"WAIT"})
			<-ctx.Done()
			return shoutResponse{}, errors.Join(err, ctx.Err())
		}
		res, err := shout(ctx, req, send)
		res.Loud += " " + bridge.RequestID(ctx) + strings.Repeat("!", 1000*req.Times)
		return res, err
	})
}

// startProcess returns the address of a bridge in a process of its own, and what kills it.
func startProcess(t *testing.T, store string, env ...string) (url string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestBridgeProcess$")
	cmd.Env = append(append(os.Environ(), storeVariable+"="+store), env...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // SIGKILL: nothing in the process gets to tidy up
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	url, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.HasPrefix(url, "http://") {
		t.Fatalf("the process says %q, %v", url, err)
	}
	return strings.TrimSpace(url), kill
}

func newClient(t *testing.T) *http.Client {
	client := &http.Client{Transport: new(http.Transport)}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// What had finished when the process was killed is there for the next one; what had not is known as interrupted, and
// executed when it is sent again.
func TestKilledBridge(t *testing.T) {
	t.Parallel()
	store := filepath.Join(t.TempDir(), "jobs.db")
	client := newClient(t)
	url, kill := startProcess(t, store)
	call := func(text, key string) reply {
		return send(t, client, newRequest(t, "POST", url+"/shout", fmt.Sprintf(`{"text": %q}`, text), "Idempotency-Key", key))
	}
	finished := begin(t, client, url, "a", "Idempotency-Key", "finished-job")
	want := ended(t, client, finished)
	running := begin(t, client, url, "slow", "Idempotency-Key", "running-job")
	answered := call("b", "answered")
	cut, err := client.Do(newRequest(t, "POST", url+"/shout", `{"text": "slow"}`, "Idempotency-Key", "running", "Accept", "text/event-stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer cut.Body.Close() // its first event is here, so the handler is at work
	if got := call("slow", "running"); got.Status != 409 {
		t.Errorf("the key of the call in progress = %d, want 409", got.Status)
	}
	kill()

	old := url
	var log logBuffer
	b := newBridge(t, loadContract(t, "max_concurrent_requests: 2", "max_concurrent_requests: 100"), slowShouter(), &bridge.Options{Logger: log.logger(), Jobs: bridge.JobOptions{Store: openJobFile(t, store), Timeout: time.Second}, Timeouts: bridge.Timeouts{Call: time.Second}})
	defer b.Close()
	url = serve(t, b).URL
	got := fetchURL(t, client, "GET", url+strings.TrimPrefix(finished, old)).job(t)
	if got.Status != "succeeded" || string(got.Result) != string(want.Result) || !got.Finished.Equal(want.Finished) {
		t.Errorf("the finished job is %+v, want %+v", got, want)
	}
	got = ended(t, client, url+strings.TrimPrefix(running, old))
	if got.Status != "failed" || got.Error.Code != "interrupted" || got.Error.Status != 503 || !got.Error.Retryable {
		t.Errorf("the job in progress is %+v, want interrupted", got)
	}
	if again := call("b", "answered"); again.Body != answered.Body || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the answered call is answered %d %s, want %s", again.Status, again.Body, answered.Body)
	}
	if again := begin(t, client, url, "a", "Idempotency-Key", "finished-job"); again != url+strings.TrimPrefix(finished, old) {
		t.Errorf("the key of the finished job gets another: %s", again)
	}
	if again := begin(t, client, url, "slow", "Idempotency-Key", "running-job"); again == url+strings.TrimPrefix(running, old) {
		t.Error("the key of the interrupted job gets no new one")
	}
	if again := call("other", "running"); again.Status != 422 {
		t.Errorf("the interrupted call's key with another body = %d, want 422", again.Status)
	}
	if again := call("slow", "running"); again.Status != 504 {
		t.Errorf("the interrupted call = %d %s, want it executed again", again.Status, again.Body)
	}
	if n := strings.Count(log.String(), "a call was interrupted"); n != 2 {
		t.Errorf("the log names %d interrupted calls, want 2:\n%s", n, log.String())
	}
}

// Killed at any moment, a bridge keeps to what it said: whoever had an answer gets the same again.
func TestBridgeKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	store := filepath.Join(t.TempDir(), "jobs.db")
	client := newClient(t)
	answers := map[string]string{}
	for round := range 5 {
		url, kill := startProcess(t, store)
		stop := time.AfterFunc(time.Duration(10+round*15)*time.Millisecond, kill)
		for i := 0; ; i++ {
			key := fmt.Sprintf("%d-%d", round, i)
			res, err := client.Do(newRequest(t, "POST", url+"/shout", `{"text": "a"}`, "Idempotency-Key", key))
			if err != nil {
				break
			}
			var body struct{ Loud string }
			err = json.NewDecoder(res.Body).Decode(&body)
			res.Body.Close()
			if err != nil {
				break
			}
			answers[key] = body.Loud
		}
		stop.Stop()
		kill()
	}
	b := newBridge(t, loadContract(t), slowShouter(), &bridge.Options{Jobs: bridge.JobOptions{Store: openJobFile(t, store)}})
	defer b.Close()
	srv := serve(t, b)
	for key, want := range answers {
		got := post(t, srv, "/shout", `{"text": "a"}`, "Idempotency-Key", key)
		if got.Header.Get("Idempotency-Replayed") != "true" || got.Body != fmt.Sprintf(`{"loud":%q}`, want) {
			t.Errorf("key %s gets %d %s, want %s again", key, got.Status, got.Body, want)
		}
	}
	if len(answers) == 0 {
		t.Error("no call was answered")
	}
}

// A full disk: calls that need the store are refused, all others go on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	client := newClient(t)
	url, _ := startProcess(t, filepath.Join(t.TempDir(), "jobs.db"), limitVariable+"=150000")
	var refused reply
	for i := range 1000 {
		refused = send(t, client, newRequest(t, "POST", url+"/shout", `{"text": "a", "times": 9}`, "Idempotency-Key", fmt.Sprint(i)))
		if refused.Status != 200 {
			break
		}
	}
	if got := fetchURL(t, client, "GET", url+"/readyz?verbose"); got.Status != 200 || !strings.Contains(got.Body, `{"name":"store","status":"failed"}`) {
		t.Errorf("/readyz?verbose = %d %s, want a store that failed, of a service that takes calls", got.Status, got.Body)
	}
	if p := refused.problem(t); refused.Status != 503 || p.Code != "unavailable" || !p.Retryable || !strings.Contains(p.Detail, "store of jobs and answers failed") || strings.Contains(refused.Body, "jobs.db") {
		t.Errorf("with a full disk a call gets %d %s, want 503", refused.Status, refused.Body)
	}
	if got := send(t, client, newRequest(t, "POST", url+"/shout", `{"text": "a"}`)); got.Status != 200 {
		t.Errorf("a call that needs no store gets %d %s", got.Status, got.Body)
	}
}

// A bridge starts on a full disk although the store holds a call that has not ended. It serves as a
// running one does.
func TestStartOnAFullDisk(t *testing.T) {
	t.Parallel()
	store, client := filepath.Join(t.TempDir(), "jobs.db"), newClient(t)
	url, kill := startProcess(t, store)
	finished := strings.TrimPrefix(begin(t, client, url, "a"), url)
	ended(t, client, url+finished)
	interrupted := strings.TrimPrefix(begin(t, client, url, "slow"), url)
	kill()
	for range 2 {
		url, kill = startProcess(t, store, limitVariable+"=0", fullVariable+"=1")
		if j := fetchURL(t, client, "GET", url+interrupted).job(t); j.Status != "failed" || j.Error.Code != "interrupted" {
			t.Errorf("the call in progress before = %+v, want interrupted", j)
		}
		if j := fetchURL(t, client, "GET", url+finished).job(t); j.Status != "succeeded" {
			t.Errorf("the finished job = %+v", j)
		}
		checkFullStore(t, client, url)
		kill()
	}
	url, _ = startProcess(t, store)
	if j := fetchURL(t, client, "GET", url+interrupted).job(t); j.Status != "failed" || j.Error.Code != "interrupted" {
		t.Errorf("with room again the call in progress before = %+v, want interrupted", j)
	}
	if got := fetchURL(t, client, "GET", url+"/readyz?verbose"); !strings.Contains(got.Body, `{"name":"store","status":"ok"}`) {
		t.Errorf("/readyz?verbose = %s, want a store that works", got.Body)
	}
}

// Calls that a failing store refuses evict no kept answer.
func TestFailingStoreEvictsNothing(t *testing.T) {
	t.Parallel()
	store, client := filepath.Join(t.TempDir(), "jobs.db"), newClient(t)
	call := func(url, key string) reply {
		return send(t, client, newRequest(t, "POST", url+"/shout", `{"text": "a"}`, "Idempotency-Key", key))
	}
	url, kill := startProcess(t, store, keptVariable+"=5")
	for i := range 5 {
		if got := call(url, fmt.Sprint(i)); got.Status != 200 {
			t.Fatalf("call = %d %s", got.Status, got.Body)
		}
	}
	kill()
	url, _ = startProcess(t, store, keptVariable+"=5", limitVariable+"=0")
	for i := range 20 {
		if got := call(url, fmt.Sprint("new-", i)); got.Status != 503 {
			t.Errorf("call = %d %s, want 503", got.Status, got.Body)
		}
	}
	for i := range 5 {
		if got := call(url, fmt.Sprint(i)); got.Header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("call %d repeated = %d %s, want it replayed", i, got.Status, got.Body)
		}
	}
}

// The same without a file: the bridge cannot make one, and leaves no part of one behind.
func TestStartWithoutAFileOnAFullDisk(t *testing.T) {
	t.Parallel()
	for _, limit := range []string{"0", "5000"} { // bbolt begins a file with 16 KiB
		store, client := filepath.Join(t.TempDir(), "jobs.db"), newClient(t)
		url, kill := startProcess(t, store, limitVariable+"="+limit, fullVariable+"=1")
		checkFullStore(t, client, url)
		kill()
		url, _ = startProcess(t, store)
		ended(t, client, begin(t, client, url, "a"))
	}
}

func checkFullStore(t *testing.T, client *http.Client, url string) {
	t.Helper()
	if got := fetchURL(t, client, "GET", url+"/readyz?verbose"); got.Status != 200 || !strings.Contains(got.Body, `{"name":"store","status":"failed"}`) {
		t.Errorf("/readyz?verbose = %d %s, want a store that failed, of a service that takes calls", got.Status, got.Body)
	}
	if got := send(t, client, newRequest(t, "POST", url+"/shout", `{"text": "a"}`)); got.Status != 200 {
		t.Errorf("a call that needs no store gets %d %s", got.Status, got.Body)
	}
	for range 2 {
		got := send(t, client, newRequest(t, "POST", url+"/shout", `{"text": "a"}`, "Idempotency-Key", "k"))
		if p := got.problem(t); got.Status != 503 || p.Code != "unavailable" || got.Header.Get("Retry-After") == "" || strings.Contains(got.Body, "jobs.db") {
			t.Errorf("a call that needs the store gets %d %s, want 503", got.Status, got.Body)
		}
	}
}

// A store that fails when the call has ended takes nothing from the caller.
func TestStoreThatFailsLate(t *testing.T) {
	t.Parallel()
	var log logBuffer
	store := filepath.Join(t.TempDir(), "jobs.db")
	var b *bridge.Bridge
	closing := make(chan struct{})
	b = newBridge(t, loadContract(t), shouter(func(context.Context, shoutRequest, func(word) error) (shoutResponse, error) {
		<-closing
		return shoutResponse{"A"}, nil
	}), &bridge.Options{Logger: log.logger(), Jobs: bridge.JobOptions{Store: openJobFile(t, store)}})
	srv := serve(t, b)
	answered := make(chan reply, 1)
	go func() { answered <- post(t, srv, "/shout", `{"text": "a"}`, "Idempotency-Key", "k") }()
	for inProgress(t, srv) == 0 {
		// the call is on its way in
	}
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		t.Errorf("Close = %v", err)
	}
	close(closing)
	if got := <-answered; got.Status != 200 || got.Body != `{"loud":"A"}` {
		t.Errorf("the call got %d %s", got.Status, got.Body)
	}
	if !strings.Contains(log.String(), "an outcome could not be stored") {
		t.Errorf("the log does not say that the store failed:\n%s", log.String())
	}
}

// Who follows a job whose outcome cannot be read is told so by the one event that ends the stream.
func TestOutcomeThatCannotBeRead(t *testing.T) {
	t.Parallel()
	b := newBridge(t, loadContract(t), shouter(shout), &bridge.Options{Jobs: bridge.JobOptions{Store: openJobFile(t, filepath.Join(t.TempDir(), "jobs.db"))}})
	srv := serve(t, b)
	url := begin(t, srv.Client(), srv.URL, "a")
	ended(t, srv.Client(), url)
	if err := b.Close(); err != nil { // as good as a disk that is gone
		t.Fatal(err)
	}
	got := fetchURL(t, srv.Client(), "GET", url, wantEvents...)
	if got.Status != 200 || strings.Count(got.Body, "event: error\n") != 1 || !strings.Contains(got.Body, `"code":"unavailable"`) || strings.Contains(got.Body, "event: result") {
		t.Errorf("the stream is %d %s, want it to end in an error", got.Status, got.Body)
	}
}

func TestStoreFileThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	store := filepath.Join(t.TempDir(), "jobs.db")
	if err := os.WriteFile(store, []byte(strings.Repeat("no store ", 2000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := jobfile.Open(store); err == nil || !strings.Contains(err.Error(), store) {
		t.Errorf("Open = %v, want an error that names the file", err)
	}
}

// illegible is a store whose records cannot be read.
type illegible struct{ bridge.JobStore }

func (illegible) All(func(string, []byte) error) error { return errors.New("pages are missing") }

func TestStoreThatCannotBeRead(t *testing.T) {
	t.Parallel()
	store := openJobFile(t, filepath.Join(t.TempDir(), "jobs.db"))
	defer store.Close()
	_, err := bridge.New(loadContract(t), shouter(shout), &bridge.Options{Jobs: bridge.JobOptions{Store: illegible{store}}})
	if err == nil || !strings.Contains(err.Error(), "Options.Jobs.Store: pages are missing") {
		t.Errorf("New = %v, want an error that names the option", err)
	}
}

// A job that could not be deleted is not said to be: after a restart it would be back.
func TestDeletionThatFails(t *testing.T) {
	t.Parallel()
	store, client := filepath.Join(t.TempDir(), "jobs.db"), newClient(t)
	url, kill := startProcess(t, store)
	path := strings.TrimPrefix(begin(t, client, url, "a"), url)
	ended(t, client, url+path)
	kill()
	url, kill = startProcess(t, store, limitVariable+"=0")
	if got := fetchURL(t, client, "DELETE", url+path); got.Status != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("DELETE on a full disk = %d %s", got.Status, got.Body)
	}
	if got := fetchURL(t, client, "GET", url+"/readyz?verbose"); !strings.Contains(got.Body, `{"name":"store","status":"failed"}`) {
		t.Errorf("/readyz does not tell: %s", got.Body)
	}
	kill()
	url, _ = startProcess(t, store)
	if got := fetchURL(t, client, "DELETE", url+path); got.Status != 204 {
		t.Errorf("DELETE after a restart = %d %s", got.Status, got.Body)
	}
}

// What a bridge whose clock was ahead has left kept all that came later from expiring.
func TestRecordsOfTheFuture(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "jobs.db")
	serveAt := func(ahead time.Duration, use func(t *testing.T, client *http.Client)) {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(ahead)
			b := newBridge(t, loadContract(t), shouter(shout), &bridge.Options{Jobs: bridge.JobOptions{Store: openJobFile(t, file), Retention: time.Hour}})
			inBubble(t, b, func(client *http.Client) { use(t, client) })
		})
	}
	serveAt(30*24*time.Hour, func(t *testing.T, client *http.Client) { ended(t, client, begin(t, client, origin, "early")) })
	serveAt(0, func(t *testing.T, client *http.Client) {
		url := begin(t, client, origin, "late")
		ended(t, client, url)
		time.Sleep(2 * time.Hour)
		if got := fetchURL(t, client, "GET", url); got.Status != 404 {
			t.Errorf("after two hours of one: %d %s", got.Status, got.Body)
		}
	})
}
