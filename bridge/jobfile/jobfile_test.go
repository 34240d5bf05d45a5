package jobfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/bridge/internal/jobs"
	"github.com/smarthaus/caio-bridge-go/bridge/jobfile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Both stores keep to the same rules.
func TestStores(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) bridge.JobStore{
		"memory": func(*testing.T) bridge.JobStore { return jobs.NewMemory() },
		"file":   func(t *testing.T) bridge.JobStore { return openFile(t, filepath.Join(t.TempDir(), "jobs.db")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for rule, check := range rules {
				t.Run(rule, func(t *testing.T) {
					t.Parallel()
					s := open(t)
					defer s.Close()
					check(t, s)
				})
			}
		})
	}
}

var rules = map[string]func(*testing.T, bridge.JobStore){
	"what was put last is what is got": func(t *testing.T, s bridge.JobStore) {
		for _, value := range []string{"first", "", "second"} {
			if err := s.Put("a", []byte(value)); err != nil {
				t.Fatal(err)
			}
			if got, err := s.Get("a"); err != nil || string(got) != value {
				t.Errorf("Get = %q, %v, want %q", got, err, value)
			}
		}
	},
	"what is not there is not found": func(t *testing.T, s bridge.JobStore) {
		if got, err := s.Get("a"); err != nil || got != nil {
			t.Errorf("Get = %q, %v, want nil", got, err)
		}
		if err := s.Delete("a"); err != nil {
			t.Errorf("Delete = %v", err)
		}
	},
	"deleting removes all that are named and no other": func(t *testing.T, s bridge.JobStore) {
		fill(t, s, "a", "b", "c", "d")
		if err := s.Delete("b", "d", "x"); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"a=1a", "c=1c"}, contents(t, s)); diff != "" {
			t.Errorf("records (-want +got):\n%s", diff)
		}
	},
	"all records come in the order of ids": func(t *testing.T, s bridge.JobStore) {
		fill(t, s, "c", "a", "b")
		if diff := cmp.Diff([]string{"a=1a", "b=1b", "c=1c"}, contents(t, s)); diff != "" {
			t.Errorf("records (-want +got):\n%s", diff)
		}
		stop := errors.New("stop")
		if err := s.All(func(string, []byte) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("All = %v, want the error of f", err)
		}
	},
	"large records are kept whole": func(t *testing.T, s bridge.JobStore) {
		large := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		if err := s.Put("a", large); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get("a"); err != nil || !bytes.Equal(got, large) {
			t.Errorf("Get = %d bytes, %v, want %d", len(got), err, len(large))
		}
	},
	"many may use it at once": func(t *testing.T, s bridge.JobStore) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				id := fmt.Sprint(i)
				fill(t, s, id, id+"x")
				if got, err := s.Get(id); err != nil || string(got) != "1"+id {
					t.Errorf("Get(%s) = %q, %v", id, got, err)
				}
				if err := s.Delete(id + "x"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := contents(t, s); len(got) != 8 {
			t.Errorf("%d records are left, want 8: %q", len(got), got)
		}
	},
	"nothing works once it is closed": func(t *testing.T, s bridge.JobStore) {
		fill(t, s, "a")
		for range 2 {
			if err := s.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		}
		_, get := s.Get("a")
		all := s.All(func(string, []byte) error { return nil })
		for name, err := range map[string]error{"Put": s.Put("a", nil), "Get": get, "Delete": s.Delete("a"), "All": all} {
			if err == nil || !strings.Contains(err.Error(), "the store is closed") {
				t.Errorf("%s = %v, want an error that says so", name, err)
			}
		}
	},
}

func TestFileSurvives(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "jobs.db")
	s := openFile(t, path)
	fill(t, s, "a", "b")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v, want 0600: results are nobody else's business", info.Mode(), err)
	}
	s = openFile(t, path)
	defer s.Close()
	if diff := cmp.Diff([]string{"a=1a", "b=1b"}, contents(t, s)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestFileInUse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "jobs.db")
	s := openFile(t, path)
	defer s.Close()
	if _, err := jobfile.Open(path); err == nil || !strings.Contains(err.Error(), path+": another process uses it") {
		t.Errorf("OpenFile = %v, want an error that says who has the file", err)
	}
}

// A damaged file is an error of opening or reading it, and ends nothing else.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "jobs.db")
	s := openFile(t, path)
	for i := range 200 {
		if err := s.Put(fmt.Sprintf("%03d", i), bytes.Repeat([]byte("x"), 500)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	overwritten := func(from, to int) []byte {
		return append(append(bytes.Clone(sound[:from]), bytes.Repeat([]byte{0xff}, to-from)...), sound[to:]...)
	}
	for name, data := range map[string][]byte{
		"no store":     bytes.Repeat([]byte("no store "), 4*page),
		"cut off":      sound[:4*page],
		"no meta page": overwritten(0, 2*page),
		"no leaves":    overwritten(4*page, len(sound)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "jobs.db")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := jobfile.Open(path)
			if err == nil {
				defer s.Close()
				err = s.All(func(string, []byte) error { return nil })
			}
			if err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("opening and reading = %v, want an error that names the file", err)
			}
		})
	}
}

func openFile(t *testing.T, path string) bridge.JobStore {
	t.Helper()
	s, err := jobfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fill puts "1" and the id under each id.
func fill(t *testing.T, s bridge.JobStore, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := s.Put(id, []byte("1"+id)); err != nil {
			t.Error(err)
		}
	}
}

func contents(t *testing.T, s bridge.JobStore) []string {
	t.Helper()
	var all []string
	if err := s.All(func(id string, value []byte) error {
		all = append(all, id+"="+string(value))
		return nil
	}); err != nil {
		t.Error(err)
	}
	return all
}
