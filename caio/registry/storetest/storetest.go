// Package storetest checks implementations of [registry.Store], and has one in memory for tests.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
)

// Check returns what is wrong with a store, nil if nothing is. open opens the store, which must be empty the first time and
// after that hold what it held; what it returned before is closed first if it is an [io.Closer]. A [registry.SharedStore]
// must also do what several registries need, and is opened twice at the same time for that. It takes a few seconds, because
// records must end in time.
func Check(ctx context.Context, open func() (registry.Store, error)) error {
	c := &checker{open: open}
	for _, step := range []struct {
		what  string
		check func(context.Context) error
	}{
		{"an empty store", c.isEmpty},
		{"records", c.keepsRecords},
		{"data of callers", c.copiesData},
		{"faulty records", c.refusesFaulty},
		{"an error of the caller", c.returnsErrors},
		{"odd records", c.keepsOddities},
		{"concurrent use", c.servesMany},
		{"sharing", c.emptied},
		{"sharing", c.checkShared},
	} {
		if err := c.reopen(); err != nil {
			return fmt.Errorf("opening the store: %w", err)
		}
		if err := step.check(ctx); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", step.what, err), c.close())
		}
	}
	return c.close()
}

type checker struct {
	open  func() (registry.Store, error)
	store registry.Store
}

func (c *checker) close() error {
	if closer, ok := c.store.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

func (c *checker) reopen() error {
	if err := c.close(); err != nil {
		return err
	}
	store, err := c.open()
	if err != nil {
		store = nil // or a nil pointer that is not to be closed
	}
	c.store = store
	return err
}

// holds compares all records of a kind, written as "id=data id=data".
func (c *checker) holds(ctx context.Context, kind, want string) error {
	var got []string
	err := c.store.Load(ctx, kind, func(id string, data []byte) error {
		got = append(got, id+"="+string(data))
		return nil
	})
	if err != nil {
		return fmt.Errorf("loading: %w", err)
	}
	if text := strings.Join(got, " "); text != want {
		return fmt.Errorf("it holds %.200q, want %.200q", text, want)
	}
	return nil
}

// keeps is holds, at once and after the store was opened again.
func (c *checker) keeps(ctx context.Context, kind, want string) error {
	if err := c.holds(ctx, kind, want); err != nil {
		return err
	}
	if err := c.reopen(); err != nil {
		return err
	}
	if err := c.holds(ctx, kind, want); err != nil {
		return fmt.Errorf("opened again: %w", err)
	}
	return nil
}

func (c *checker) isEmpty(ctx context.Context) error {
	return errors.Join(c.holds(ctx, "service", ""), c.holds(ctx, "trace", ""))
}

func (c *checker) keepsRecords(ctx context.Context) error {
	for _, step := range []struct {
		records          []registry.Record
		services, traces string
	}{
		{[]registry.Record{{Kind: "service", ID: "b", Data: []byte("1")}}, "b=1", ""},
		{[]registry.Record{{Kind: "service", ID: "a", Data: []byte("2")}, {Kind: "trace", ID: "a", Data: []byte("3")}}, "a=2 b=1", "a=3"},
		{[]registry.Record{{Kind: "service", ID: "b", Data: []byte("4")}}, "a=2 b=4", "a=3"},
		{[]registry.Record{{Kind: "service", ID: "a"}, {Kind: "service", ID: "c", Data: []byte("5")}, {Kind: "trace", ID: "never-there"}}, "b=4 c=5", "a=3"},
		{nil, "b=4 c=5", "a=3"},
		{[]registry.Record{{Kind: "service", ID: "c"}, {Kind: "service", ID: "c", Data: []byte("6")}}, "b=4 c=6", "a=3"}, // in order
		{[]registry.Record{{Kind: "service", ID: "b"}, {Kind: "service", ID: "c"}, {Kind: "trace", ID: "a"}}, "", ""},
	} {
		if err := c.store.Save(ctx, step.records...); err != nil {
			return fmt.Errorf("saving: %w", err)
		}
		if err := errors.Join(c.keeps(ctx, "service", step.services), c.keeps(ctx, "trace", step.traces)); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) copiesData(ctx context.Context) error {
	data := []byte("data")
	if err := c.store.Save(ctx, registry.Record{Kind: "trace", ID: "x", Data: data}); err != nil {
		return err
	}
	copy(data, "XXXX")
	err := c.store.Load(ctx, "trace", func(_ string, loaded []byte) error {
		for i := range loaded {
			loaded[i] = 'Y'
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.keeps(ctx, "trace", "x=data"); err != nil {
		return err
	}
	return c.store.Save(ctx, registry.Record{Kind: "trace", ID: "x"})
}

// refusesFaulty also checks that of records that are saved together all are, or none.
func (c *checker) refusesFaulty(ctx context.Context) error {
	for _, faulty := range []registry.Record{{Kind: "service", Data: []byte("1")}, {ID: "x", Data: []byte("1")}} {
		if err := c.store.Save(ctx, registry.Record{Kind: "service", ID: "good", Data: []byte("1")}, faulty); err == nil {
			return fmt.Errorf("the store saves %+v", faulty)
		}
		if err := c.keeps(ctx, "service", ""); err != nil {
			return fmt.Errorf("after a refused Save %w", err)
		}
	}
	return nil
}

func (c *checker) returnsErrors(ctx context.Context) error {
	records := []registry.Record{{Kind: "service", ID: "a", Data: []byte("1")}, {Kind: "service", ID: "b", Data: []byte("2")}}
	if err := c.store.Save(ctx, records...); err != nil {
		return err
	}
	stop, calls := errors.New("stop"), 0
	err := c.store.Load(ctx, "service", func(string, []byte) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		return fmt.Errorf("loading returned %v after %d calls, want the caller's error after one", err, calls)
	}
	return c.store.Save(ctx, registry.Record{Kind: "service", ID: "a"}, registry.Record{Kind: "service", ID: "b"})
}

func (c *checker) keepsOddities(ctx context.Context) error {
	large := bytes.Repeat([]byte("large "), 200_000)
	var records []registry.Record
	for _, id := range []string{"a/b", "a\x00b", "ü", strings.Repeat("long", 50)} {
		records = append(records, registry.Record{Kind: "service", ID: id, Data: []byte("1")})
	}
	records = append(records, registry.Record{Kind: "service", ID: "z-empty", Data: []byte{}}, registry.Record{Kind: "service", ID: "z-large", Data: large})
	if err := c.store.Save(ctx, records...); err != nil {
		return err
	}
	want := "a\x00b=1 a/b=1 " + strings.Repeat("long", 50) + "=1 z-empty= z-large=" + string(large) + " ü=1"
	if err := c.keeps(ctx, "service", want); err != nil {
		return err
	}
	for i := range records {
		records[i].Data = nil
	}
	return c.store.Save(ctx, records...)
}

// emptied removes what the checks before left.
func (c *checker) emptied(ctx context.Context) error {
	for _, kind := range []string{"service", "trace"} {
		var records []registry.Record
		err := c.store.Load(ctx, kind, func(id string, _ []byte) error {
			records = append(records, registry.Record{Kind: kind, ID: id})
			return nil
		})
		if err := errors.Join(err, c.store.Save(ctx, records...)); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) servesMany(ctx context.Context) error {
	const writers, rounds = 8, 10
	faults := make([]error, writers)
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			for i := range rounds {
				pair := []registry.Record{{Kind: "service", ID: fmt.Sprint(w), Data: fmt.Append(nil, i)}, {Kind: "trace", ID: fmt.Sprint(w), Data: fmt.Append(nil, i)}}
				err := c.store.Save(ctx, pair...)
				faults[w] = errors.Join(faults[w], err, c.store.Load(ctx, "service", func(string, []byte) error { return nil }))
			}
		})
	}
	running.Wait()
	var want []string
	for w := range writers {
		want = append(want, fmt.Sprintf("%d=%d", w, rounds-1))
	}
	text := strings.Join(want, " ")
	return errors.Join(errors.Join(faults...), c.keeps(ctx, "service", text), c.keeps(ctx, "trace", text))
}
