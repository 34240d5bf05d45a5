package contract_test

import (
	"io/fs"
	"os"
	"testing"
	"testing/fstest"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// single is a file system that holds one contract.
func single(text string) fs.FS {
	return fstest.MapFS{"contract.yaml": {Data: []byte(text)}}
}

func mustParse(t testing.TB, text string) *contract.Contract {
	t.Helper()
	c, err := contract.Parse("contract.yaml", []byte(text))
	if err != nil {
		t.Fatalf("the contract should be valid:\n%v", err)
	}
	return c
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
