package etcdstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/etcdtest"
	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/caio/registry/etcdstore"
)

// BenchmarkRegistry measures what callers wait for, on three members on this machine.
func BenchmarkRegistry(b *testing.B) {
	cluster := etcdtest.Start(b, 3)
	reg, err := registry.New(&registry.Options{Store: open(b, etcdstore.Options{Endpoints: cluster.Endpoints()}), MaxServices: 1_000_000})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ran := make(chan error, 1)
	go func() { ran <- reg.Run(ctx) }()
	registered := 0
	b.Run("register", func(b *testing.B) {
		for b.Loop() {
			registered++
			if _, err := reg.Register(b.Context(), newContract(b, fmt.Sprintf("service-%d", registered), "1.0.0"), nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("renew", func(b *testing.B) {
		ct := newContract(b, "leased", "1.0.0")
		for b.Loop() {
			if _, err := reg.Register(b.Context(), ct, &caio.RegisterOptions{TTL: time.Minute}); err != nil {
				b.Fatal(err)
			}
		}
	})
	cancel()
	<-ran
	b.Run("start", func(b *testing.B) {
		for b.Loop() {
			if _, err := registry.New(&registry.Options{Store: open(b, etcdstore.Options{Endpoints: cluster.Endpoints()}), MaxServices: 1_000_000}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(registered), "services")
	})
}
