package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"sync"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
)

// maxWait bounds how long the store may take to tell of a change, or to remove what has ended.
const maxWait = 30 * time.Second

// checkShared checks what several registries need of a store, through two that are open at the same time.
func (c *checker) checkShared(ctx context.Context) error {
	here, ok := c.store.(registry.SharedStore)
	if !ok {
		return nil
	}
	opened, err := c.open()
	if err != nil {
		return fmt.Errorf("opening it twice: %w", err)
	}
	if closer, ok := opened.(io.Closer); ok {
		defer closer.Close()
	}
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	for _, step := range []struct {
		what  string
		check func(ctx context.Context, here, there registry.SharedStore) error
	}{
		{"swapping", swaps},
		{"a race for an id", racesForID},
		{"a count by many", countsByMany},
		{"watching", watches},
		{"an end", ends},
	} {
		if err := step.check(ctx, here, opened.(registry.SharedStore)); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func record(id, data string, version int64) registry.Record {
	r := registry.Record{Kind: "service", ID: id, Version: version}
	if data != "" {
		r.Data = []byte(data)
	}
	return r
}

// swaps goes through what may happen to a record.
func swaps(ctx context.Context, here, there registry.SharedStore) error {
	version, before := int64(0), int64(0) // of what is held, and of what was
	for i, step := range []struct {
		store registry.SharedStore
		stale bool
		data  string // "" to delete
		held  string
		done  bool
	}{
		{here, false, "", "", false}, // nothing to delete
		{here, false, "1", "1", true},
		{there, true, "2", "1", false}, // nothing is expected, and something is there
		{there, false, "2", "2", true},
		{here, true, "3", "2", false},
		{here, true, "", "2", false},
		{here, false, "2", "2", true},
		{there, false, "", "", true},
		{here, true, "4", "", false}, // something is expected, and nothing is there
		{here, false, "5", "5", true},
		{there, false, "", "", true},
	} {
		expected := version
		if step.stale {
			expected = before
		}
		held, at, err := step.store.Swap(ctx, record("a", step.data, expected))
		switch {
		case err != nil:
			return fmt.Errorf("step %d: %w", i, err)
		case (at != 0) != step.done:
			return fmt.Errorf("step %d: it swapped at %d, want %t", i, at, step.done)
		case string(held.Data) != step.held || (held.Version != 0) != (step.held != ""):
			return fmt.Errorf("step %d: it holds %q, version %d, want %q", i, held.Data, held.Version, step.held)
		}
		got, err := there.Get(ctx, "service", "a")
		if err != nil || string(got.Data) != step.held || got.Version != held.Version {
			return fmt.Errorf("step %d: the other store gets %q, version %d (%v), want %q, version %d", i, got.Data, got.Version, err, step.held, held.Version)
		}
		if held.Version != version {
			before, version = version, held.Version
		}
	}
	return nil
}

// racesForID lets many claim an id, which one may have.
func racesForID(ctx context.Context, here, there registry.SharedStore) error {
	var running sync.WaitGroup
	var swapped [16]int64
	var faults [16]error
	for i := range swapped {
		running.Go(func() {
			_, swapped[i], faults[i] = []registry.SharedStore{here, there}[i%2].Swap(ctx, record("a", strconv.Itoa(i+1), 0))
		})
	}
	running.Wait()
	if err := errors.Join(faults[:]...); err != nil {
		return err
	}
	held, err := there.Get(ctx, "service", "a")
	if err != nil {
		return err
	}
	for i, at := range swapped {
		if won := string(held.Data) == strconv.Itoa(i+1); won != (at != 0) {
			return fmt.Errorf("it holds %q, and %d was told %d", held.Data, i+1, at)
		}
	}
	_, _, err = here.Swap(ctx, record("a", "", held.Version))
	return err
}

// countsByMany lets many add to a number, none of whose steps may be lost.
func countsByMany(ctx context.Context, here, there registry.SharedStore) error {
	const counters, rounds = 4, 5
	var running sync.WaitGroup
	var faults [counters]error
	for i := range counters {
		running.Go(func() {
			store := []registry.SharedStore{here, there}[i%2]
			var held registry.Record
			for done := 0; done < rounds && faults[i] == nil; {
				n, _ := strconv.Atoi(string(held.Data))
				var at int64
				if held, at, faults[i] = store.Swap(ctx, record("n", strconv.Itoa(n+1), held.Version)); at != 0 {
					done++
				}
			}
		})
	}
	running.Wait()
	held, err := here.Get(ctx, "service", "n")
	if err := errors.Join(append(faults[:], err)...); err != nil {
		return err
	}
	if string(held.Data) != strconv.Itoa(counters*rounds) {
		return fmt.Errorf("it counts %s, want %d", held.Data, counters*rounds)
	}
	_, _, err = here.Swap(ctx, record("n", "", held.Version))
	return err
}

// A mirror is what a watcher concludes that a store holds.
type mirror struct {
	next func() (registry.Changes, error, bool)
	held map[string]registry.Record
	at   int64
}

// see takes in one more change.
func (c *mirror) see() error {
	changes, err, ok := c.next()
	switch {
	case !ok:
		return errors.New("the watch ended")
	case err != nil:
		return err
	case changes.At < c.at:
		return fmt.Errorf("changes at %d come after those at %d", changes.At, c.at)
	case changes.Whole != (c.held == nil):
		return fmt.Errorf("first, or again, the changes are %+v", changes)
	}
	c.at = changes.At
	if changes.Whole {
		c.held = make(map[string]registry.Record)
	}
	for _, r := range changes.Saved {
		c.held[r.ID] = r
	}
	for _, r := range changes.Renewed {
		known := c.held[r.ID]
		known.Until = r.Until
		c.held[r.ID] = known
	}
	for _, id := range changes.Gone {
		delete(c.held, id)
	}
	return nil
}

func (c *mirror) reach(at int64) error {
	for c.at < at {
		if err := c.see(); err != nil {
			return err
		}
	}
	return nil
}

// watches compares what a watcher sees with what others do.
func watches(ctx context.Context, here, there registry.SharedStore) error {
	first, _, err := here.Swap(ctx, record("a", "1", 0))
	if err != nil {
		return err
	}
	var stop func()
	seen := new(mirror)
	seen.next, stop = iter.Pull2(there.Watch(ctx, "service"))
	defer stop()
	if err := seen.see(); err != nil {
		return err
	}
	if len(seen.held) != 1 || seen.held["a"].Version != first.Version {
		return fmt.Errorf("first it yields %+v", seen.held)
	}
	if err := here.Save(ctx, registry.Record{Kind: "trace", ID: "x", Data: []byte("1")}, registry.Record{Kind: "trace", ID: "x"}); err != nil {
		return err
	}
	until := time.Now().Add(time.Minute)
	a, b := record("a", "2", first.Version), record("b", "1", 0)
	b.Until = until
	for i, next := range []*registry.Record{&a, &b, &a, &b, &a, &b} {
		switch i {
		case 2:
			next.Until = until.Add(time.Second) // from now on it ends
		case 3:
			next.Until = until.Add(time.Minute) // a renewal
		case 4:
			next.Until = time.Time{}
		case 5:
			next.Data, next.Until = nil, time.Time{}
		}
		held, at, err := []registry.SharedStore{here, there}[i%2].Swap(ctx, *next)
		if err != nil || at == 0 {
			return fmt.Errorf("swap %d: at %d, %w", i, at, err)
		}
		if err := seen.reach(at); err != nil {
			return fmt.Errorf("swap %d: %w", i, err)
		}
		got, known := seen.held[next.ID]
		if known != (next.Data != nil) || string(got.Data) != string(next.Data) || got.Version != held.Version || !got.Until.Equal(next.Until) {
			return fmt.Errorf("swap %d: the watcher knows %+v, want %+v", i, got, held)
		}
		next.Version = held.Version
	}
	_, _, err = here.Swap(ctx, record("a", "", a.Version))
	return err
}

// ends lets one record end, and renews another.
func ends(ctx context.Context, here, there registry.SharedStore) error {
	seen := new(mirror)
	var stop func()
	seen.next, stop = iter.Pull2(there.Watch(ctx, "service"))
	defer stop()
	soon := time.Now().Add(time.Second)
	ending, renewed := record("a", "1", 0), record("b", "1", 0)
	ending.Until, renewed.Until = soon, soon
	_, at, err := here.Swap(ctx, ending)
	if err != nil {
		return err
	}
	held, _, err := here.Swap(ctx, renewed)
	if err != nil {
		return err
	}
	renewed.Version, renewed.Until = held.Version, time.Now().Add(time.Minute)
	if held, _, err = there.Swap(ctx, renewed); err != nil {
		return err
	}
	if err := seen.reach(at); err != nil {
		return err
	}
	for _, known := seen.held["a"]; known; _, known = seen.held["a"] {
		if err := seen.see(); err != nil {
			return fmt.Errorf("waiting for the end: %w", err)
		}
	}
	if time.Now().Before(soon) {
		return errors.New("the record ended early")
	}
	got, err := here.Get(ctx, "service", "b")
	if err != nil || string(got.Data) != "1" || !got.Until.Equal(renewed.Until) {
		return fmt.Errorf("the renewed one is %+v, %v", got, err)
	}
	_, _, err = here.Swap(ctx, record("b", "", got.Version))
	return err
}
