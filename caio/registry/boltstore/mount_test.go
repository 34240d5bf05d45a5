//go:build linux

package boltstore_test

import (
	"context"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/caio/registry/boltstore"
	"github.com/smarthaus/caio-bridge-go/internal/storefault"
)

// On a read-only file system a registry starts with what it holds.
func TestReadOnlyFileSystem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	path := filepath.Join(dir, "registry.db")
	store, err := boltstore.Open(path)
	if err == nil {
		err = store.Save(t.Context(), registry.Record{Kind: "kind", ID: "a", Data: []byte("1")})
	}
	if err == nil {
		err = store.Close()
	}
	if err == nil {
		err = syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, "size=4m")
	}
	if err != nil {
		t.Fatal(err)
	}
	if store, err = boltstore.Open(path); err != nil {
		t.Fatalf("Open = %v, want a store to read", err)
	}
	defer store.Close()
	if err := store.Save(t.Context(), registry.Record{Kind: "kind", ID: "b", Data: []byte("1")}); !storefault.Unwritable(err) {
		t.Errorf("Save = %v, want an error of the file system", err)
	}
	var ids []string
	err = store.Load(context.Background(), "kind", func(id string, _ []byte) error {
		ids = append(ids, id)
		return nil
	})
	if err != nil || len(ids) != 1 || ids[0] != "a" {
		t.Errorf("Load = %q, %v, want the record", ids, err)
	}
}
