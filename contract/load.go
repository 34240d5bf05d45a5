package contract

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"

	"github.com/smarthaus/caio-bridge-go/contract/internal/jsonschema"
	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
)

// Load reads the contract called name from fsys, often an [embed.FS], with every endpoint schema that it names.
//
// Schema files are looked up beside the contract; absolute paths, "..", URLs and references to other documents are
// refused, so that nothing outside fsys is opened. Note that [os.DirFS] follows symbolic links; [LoadFile] and
// [os.Root.FS] do not let them lead out.
//
// Files of up to 256 KiB are read, with up to 100 levels, 200,000 values and 1,000 alias expansions. A contract that is
// refused gives [Diagnostics], with all faults at once; a file that cannot be read gives the error of fsys, wrapped.
func Load(fsys fs.FS, name string) (*Contract, error) {
	return (&loader{files: fsys, name: name, display: func(name string) string { return name }}).loadFile()
}

// LoadFile is [Load] for a file of the operating system. Schema files are opened below the folder that the file lies in
// and nowhere else: not through "..", nor through symbolic links.
func LoadFile(path string) (*Contract, error) {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	defer root.Close()
	display := func(name string) string { return filepath.Join(filepath.Dir(path), filepath.FromSlash(name)) }
	return (&loader{files: root.FS(), name: name, display: display}).loadFile()
}

// Parse reads a contract from memory; name is for the diagnostics. The schema files that it names cannot be opened:
// they stay names, with [Endpoint.InputFile] set and [Endpoint.InputSchema] nil. All else is checked as by [Load].
func Parse(name string, data []byte) (*Contract, error) {
	return (&loader{name: name, display: func(name string) string { return name }}).load(data)
}

// WithBaseURL returns a copy whose API.BaseURL is baseURL, with the schemas of c. It is checked by all rules that apply to
// a contract written so, and its digest is that of such a contract. The error says what is wrong with baseURL.
func (c *Contract) WithBaseURL(baseURL string) (*Contract, error) {
	text, err := c.rewritten(func(flat, root *tree.Node) *tree.Node {
		base := flat.Find("api", "base_url")
		return replace(root, base, tree.NewText(base, baseURL))
	})
	if err != nil {
		return nil, err
	}
	l := &loader{name: c.document.name, display: func(name string) string { return name }}
	changed, err := l.load(text)
	if faults, ok := errors.AsType[Diagnostics](err); ok {
		// Where it stands in the document is of no use to the caller, who did not write it there.
		return nil, fmt.Errorf("contract: base URL %q: %s [%s]; %s", redact(baseURL), faults[0].Message, faults[0].Code, faults[0].Fix)
	}
	for i := range changed.API.Endpoints {
		changed.API.Endpoints[i].InputSchema = c.API.Endpoints[i].InputSchema
		changed.API.Endpoints[i].OutputSchema = c.API.Endpoints[i].OutputSchema
	}
	return changed, nil
}

// redact removes what might be a password from a URL, for error messages.
func redact(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "(not a URL)"
	}
	return u.Redacted()
}

// A loader turns the bytes of one contract into a Contract.
type loader struct {
	report
	files   fs.FS // nil: schema files cannot be opened
	name    string
	display func(name string) string // of a file, for diagnostics

	flat    *tree.Node            // the contract in flat, full form
	opened  map[string]*tree.Node // schema files by name; nil if they cannot be parsed
	bytes   int                   // of opened
	schemas map[string]*Schema    // by file
	budget  *jsonschema.Budget    // of all schemas
}

func (l *loader) loadFile() (*Contract, error) {
	data, err := readFile(l.files, l.name)
	if fault, ok := errors.AsType[*fs.PathError](err); ok {
		err = &fs.PathError{Op: "read", Path: l.display(l.name), Err: fault.Err} // an os.Root knows the last element only
	}
	if err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	return l.load(data)
}

// readFile reads at most one byte more than a document may have.
func readFile(files fs.FS, name string) ([]byte, error) {
	file, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	}
	return io.ReadAll(io.LimitReader(file, tree.MaxBytes+1))
}

// load runs all stages. Later ones run on what earlier ones left standing, so that as many faults as possible are
// reported at once.
func (l *loader) load(data []byte) (*Contract, error) {
	source := tree.NewSource(l.display(l.name), data)
	root, problems := tree.Parse(source)
	for _, problem := range problems {
		l.put(source, problem)
	}
	if root == nil {
		return nil, l.sorted(source.Name)
	}
	text := root.AppendJSON(nil)
	if len(text) > tree.MaxBytes {
		l.put(source, tree.TooLarge("as JSON, as which contracts are sent and kept, it has", len(text)))
		return nil, l.sorted(source.Name)
	}
	shape := findShape(root, &l.report)
	if shape == nil {
		return nil, l.sorted(source.Name)
	}
	l.flat = spellOut(shape.flat(&l.report), &l.report)
	sound := checkStructure(l.flat, shape.idName, &l.report)
	c := decode(l.flat)
	l.loadSchemas(c)
	k := newChecker(l, c)
	k.run(errorChecks)
	if sound {
		k.run(warningChecks) // on half a contract they would mislead
	}
	if l.errors > 0 {
		return nil, l.sorted(source.Name)
	}
	c.document = newDocument(l, root, text)
	return c, nil
}

// schemaPath returns the path in files of a schema that the contract names.
func (l *loader) schemaPath(file string) string {
	return path.Join(path.Dir(filepath.ToSlash(l.name)), file)
}
