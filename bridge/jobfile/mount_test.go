//go:build linux

package jobfile_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/bridge/jobfile"
	"github.com/smarthaus/caio-bridge-go/internal/storefault"
)

// A store on a read-only file system shows its records, refuses to write, and writes again when the
// file system does.
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
	remount := func(flags uintptr) {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|flags, "size=4m"); err != nil {
			t.Fatalf("remount: %v", err)
		}
	}
	for name, want := range map[string][]string{"jobs.db": {"a=1a"}, "new.db": nil} {
		path := filepath.Join(dir, name)
		if want != nil {
			s := openFile(t, path)
			fill(t, s, "a")
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		remount(syscall.MS_RDONLY)
		s, err := jobfile.Open(path)
		if err != nil || !storefault.Unwritable(s.Writable()) {
			t.Fatalf("Open(%s) = %v, %v, want a store that names the error of the file system", name, s, err)
		}
		for range 2 {
			if err := s.Put("b", []byte("1b")); !storefault.Unwritable(err) {
				t.Errorf("Put = %v, want an error of the file system", err)
			}
			if diff := cmp.Diff(want, contents(t, s)); diff != "" {
				t.Errorf("records of %s (-want +got):\n%s", name, diff)
			}
		}
		remount(0)
		fill(t, s, "b")
		if diff := cmp.Diff(append(want, "b=1b"), contents(t, s)); diff != "" {
			t.Errorf("records of %s, writable again (-want +got):\n%s", name, diff)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
}
