package contract

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// A document is the source of a contract, with its warnings. It is kept as JSON, which is a tenth of the size of the
// tree, and nothing that a garbage collector has to look through.
type document struct {
	name     string
	json     []byte // as the author wrote it
	digest   string
	warnings []byte // Diagnostics, if there are any
}

func newDocument(l *loader, root *tree.Node, text []byte) *document {
	canonical := canonicalForm(l.flat)
	sum := sha256.Sum256(canonical.AppendCanonical(nil))
	d := &document{name: l.name, json: bytes.Clone(text), digest: "sha256:" + hex.EncodeToString(sum[:])}
	if warnings := l.sorted(root.Source().Name); len(warnings) > 0 {
		d.warnings, _ = json.Marshal(warnings) // texts and numbers
	}
	return d
}

// canonicalForm puts lists whose order means nothing into one order.
func canonicalForm(flat *tree.Node) *tree.Node {
	guarantees := flat.Get("guarantees")
	for _, m := range members(guarantees) {
		if m.Value.Kind == tree.List {
			sorted := slices.SortedStableFunc(slices.Values(m.Value.Items), func(a, b *tree.Node) int {
				return compareGuarantees(decodeGuarantee("", a), decodeGuarantee("", b))
			})
			guarantees = guarantees.With(m.Key, tree.NewList(m.Value, sorted...))
		}
	}
	if guarantees != flat.Get("guarantees") {
		flat = flat.With("guarantees", guarantees)
	}
	return flat
}

var errNotLoaded = errors.New("contract: not made by Load, LoadFile or Parse")

// Digest returns "sha256:" and the hash, in hexadecimal, of the contract in a canonical form: it is the same for all
// contracts that are [Contract.Equal], and changes with every member, x-* included. What schema files hold is not part of
// it, so that a contract has the same digest where its files cannot be opened.
func (c *Contract) Digest() string {
	if c == nil || c.document == nil {
		return ""
	}
	return c.document.digest
}

// MarshalJSON returns the document as its author wrote it, as JSON: the same shape, members and order. [Parse] makes an
// equal contract of it.
func (c *Contract) MarshalJSON() ([]byte, error) {
	if c == nil || c.document == nil {
		return nil, errNotLoaded
	}
	return slices.Clone(c.document.json), nil
}

// YAML returns the document as YAML: the same shape, members and order as its author wrote, but not
// the remarks, anchors and styles. It fails for a contract that was not loaded.
func (c *Contract) YAML() ([]byte, error) {
	root, err := c.root()
	if err != nil {
		return nil, err
	}
	return root.YAML()
}

// root parses the document again.
func (c *Contract) root() (*tree.Node, error) {
	if c == nil || c.document == nil {
		return nil, errNotLoaded
	}
	root, problems := tree.Parse(tree.NewSource(c.document.name, c.document.json))
	if len(problems) > 0 {
		return nil, errNotLoaded
	}
	return root, nil
}

// rewritten reads the document again, lets edit change it, and returns the outcome as JSON.
func (c *Contract) rewritten(edit func(flat, root *tree.Node) *tree.Node) ([]byte, error) {
	root, err := c.root()
	if err != nil {
		return nil, err
	}
	var ignored report
	flat := spellOut(findShape(root, &ignored).flat(&ignored), &ignored)
	return edit(flat, root).AppendJSON(nil), nil
}

// replace returns root with the node that old was made from exchanged for another.
func replace(root, old, by *tree.Node) *tree.Node {
	if root.Same(old) {
		return by
	}
	for _, m := range root.Members {
		if changed := replace(m.Value, old, by); changed != m.Value {
			return root.With(m.Key, changed)
		}
	}
	return root
}
