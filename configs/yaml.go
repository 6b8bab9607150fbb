package configs

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The limits bound the work of the parser, which is quadratic in the lines of a
// block of text and in the keys of a mapping, and recurses at each bracket.
const (
	maxLines  = 10_000
	maxTokens = 10_000 // without comments
)

// yaml reads the text of the file called name.
func (l *loader) yaml(name string, text []byte) {
	w := &walker{loader: l, name: name, lines: map[string]int{}}
	text = []byte(strings.TrimPrefix(string(text), "\uFEFF")) // some editors begin a file with it
	if !utf8.Valid(text) {
		w.fault(0, "", "is not UTF-8 text; save it as UTF-8")
		return
	}
	file, err := parse(string(text))
	if err != nil {
		line, problem := syntaxProblem(err)
		w.fault(line, "", "%s", problem)
		return
	}
	w.file(file)
}

var errTooMuch = errors.New("holds more than a configuration has; is it the right file?")

// parse turns a panic of the parser into an error: a reload must not end a
// server that runs.
func parse(text string) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, fmt.Errorf("the YAML parser gave up: %v", r)
		}
	}()
	if max(strings.Count(text, "\n"), strings.Count(text, "\r")) > maxLines {
		return nil, errTooMuch
	}
	tokens := lexer.Tokenize(text)
	count := 0
	for _, t := range tokens {
		if t.Type != token.CommentType {
			count++
		}
	}
	if count > maxTokens {
		return nil, errTooMuch
	}
	// The walk reports keys that stand twice, with both lines.
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// syntaxProblem takes the line and the sentence out of an error of the parser,
// and leaves out the excerpt: it would put values of the file into the log.
func syntaxProblem(err error) (line int, problem string) {
	var ye yaml.Error
	if !errors.As(err, &ye) {
		return 0, err.Error()
	}
	if t := ye.GetToken(); t != nil && t.Position != nil {
		line = t.Position.Line
	}
	return line, "is not YAML: " + ye.GetMessage()
}

// A walker carries the values of a parsed file to a loader.
type walker struct {
	*loader
	name string
	// lines says where each key was first written.
	lines map[string]int
}

func (w *walker) at(line int) origin {
	if line < 1 {
		return origin{w.name, rankFile}
	}
	return origin{fmt.Sprintf("%s:%d", w.name, line), rankFile + line}
}

func (w *walker) fault(line int, key, format string, args ...any) {
	w.loader.fault(w.at(line), key, format, args...)
}

func (w *walker) file(file *ast.File) {
	for i, doc := range file.Docs {
		if i > 0 && doc.Start != nil {
			w.fault(doc.Start.Position.Line, "", "begins a second document; a configuration is one document, remove the line ---")
		}
		switch body := doc.Body.(type) {
		case nil, *ast.NullNode: // nothing but comments
		case *ast.DirectiveNode:
			w.fault(lineOf(body), "", "is a YAML directive; remove it")
		default:
			w.root(body)
		}
	}
}

func (w *walker) root(body ast.Node) {
	body = w.plain("", body)
	if m, ok := body.(ast.MapNode); ok {
		w.mapping("", m)
	} else if body != nil {
		w.fault(lineOf(body), "", "is not a setting; write key: value, such as listen: 127.0.0.1:8080")
	}
}

// mapping walks the entries of the section whose name, with its dot, is prefix.
func (w *walker) mapping(prefix string, m ast.MapNode) {
	for it := m.MapRange(); it.Next(); {
		entry := it.KeyValue()
		name, ok := w.keyName(entry.Key)
		if !ok {
			continue
		}
		key, line := prefix+name, lineOf(entry.Key)
		if first, twice := w.lines[key]; twice {
			w.fault(line, key, "is set twice, on line %d before; remove one of the two", first)
			continue
		}
		w.lines[key] = line
		w.entry(key, line, entry.Value, strings.Contains(name, "."))
	}
}

// entry takes one key and what is written for it. A dotted name is one level of
// YAML, where two are wanted.
func (w *walker) entry(key string, line int, node ast.Node, dotted bool) {
	s, known := lookup(key)
	switch {
	case known && dotted:
		section, leaf, _ := strings.Cut(key, ".")
		w.fault(line, key, "is written in one; write %s: and beneath it, indented, %s:", section, leaf)
	case known:
		w.value(s, line, w.plain(key, node))
	case !dotted && isSection(key):
		w.section(key, w.plain(key, node))
	default:
		w.fault(line, shortKey(key), "there is no such setting%s", didYouMean(suggest(key)))
	}
}

func (w *walker) section(key string, node ast.Node) {
	switch n := node.(type) {
	case nil, *ast.NullNode: // every setting in it at its default
	case ast.MapNode:
		w.mapping(key+".", n)
	default:
		w.fault(lineOf(n), key, "is a section; write its settings beneath it, indented")
	}
}

func (w *walker) value(s setting, line int, node ast.Node) {
	switch n := node.(type) {
	case nil, *ast.NullNode: // the default
		return
	case ast.MapNode:
		if s.isMapping() {
			w.entries(s, line, n)
			return
		}
		w.fault(line, s.key, "is one setting and holds no others; write %s", example(s))
		return
	case *ast.SequenceNode:
		w.list(s, line, n)
		return
	}
	text, ok := scalar(node)
	switch {
	case !ok:
		w.fault(line, s.key, "is not a plain value; write %s", example(s))
	case s.isMapping():
		w.fault(line, s.key, "is a mapping; write %s", example(s))
	case s.setList != nil:
		w.fault(line, s.key, "is a list; write [%s]", strings.ReplaceAll(text, ",", ", "))
	default:
		w.set(w.at(line), s, text)
	}
}

func (w *walker) list(s setting, line int, seq *ast.SequenceNode) {
	if s.setList == nil {
		w.fault(line, s.key, "is one value, not a list; write %s", example(s))
		return
	}
	entries, ok := w.texts(s.key, seq)
	if !ok {
		w.fault(line, s.key, "has an entry that is not a plain value; write %s", example(s))
		return
	}
	w.origins[s.key] = w.at(line)
	s.setList(w.config, entries)
}

// entries takes the mapping that a setting holds.
func (w *walker) entries(s setting, line int, m ast.MapNode) {
	ok := false
	if s.setLists != nil {
		var lists map[string][]string
		if lists, ok = entriesOf(w, s, m, func(node ast.Node) ([]string, bool) { return w.texts(s.key, node) }); ok {
			s.setLists(w.config, lists)
		}
	} else {
		var values map[string]string
		if values, ok = entriesOf(w, s, m, func(node ast.Node) (string, bool) { return scalar(w.plain(s.key, node)) }); ok {
			s.setMap(w.config, values)
		}
	}
	if ok {
		w.origins[s.key] = w.at(line)
	}
}

// entriesOf reads a mapping; nil is an empty one. The first fault ends it.
func entriesOf[V any](w *walker, s setting, m ast.MapNode, read func(ast.Node) (V, bool)) (values map[string]V, ok bool) {
	for it := m.MapRange(); it.Next(); {
		entry := it.KeyValue()
		name, ok := w.keyName(entry.Key)
		if !ok {
			return nil, false
		}
		value, ok := read(entry.Value)
		if !ok {
			w.fault(lineOf(entry.Key), s.key, "%s has no value of the right kind; write %s", quote(name), example(s))
			return nil, false
		}
		if _, twice := values[name]; twice {
			w.fault(lineOf(entry.Key), s.key, "%s stands in it twice; remove one", quote(name))
			return nil, false
		}
		if values == nil {
			values = map[string]V{}
		}
		values[name] = value
	}
	return values, true
}

// texts are the entries of a sequence of plain values.
func (w *walker) texts(key string, node ast.Node) (entries []string, ok bool) {
	seq, ok := w.plain(key, node).(*ast.SequenceNode)
	if !ok {
		return nil, false
	}
	for _, node := range seq.Values {
		text, ok := scalar(w.plain(key, node))
		if !ok {
			return nil, false
		}
		entries = append(entries, text)
	}
	return entries, true
}

// plain removes an anchor or a tag from a node, and refuses it: what is written
// in one place is to mean the same for every reader. Aliases become nil.
func (w *walker) plain(key string, node ast.Node) ast.Node {
	for {
		switch n := node.(type) {
		case *ast.AnchorNode:
			w.fault(lineOf(n), key, "has an anchor (&), which a configuration may not use; remove it")
			node = n.Value
		case *ast.TagNode:
			w.fault(lineOf(n), key, "has a tag (!), which a configuration may not use; remove it")
			node = n.Value
		case *ast.AliasNode:
			w.fault(lineOf(n), key, "is an alias (*), which a configuration may not use; write the value itself")
			return nil
		default:
			return node
		}
	}
}

// keyName returns the text of a key, or reports that it is none.
func (w *walker) keyName(key ast.MapKeyNode) (string, bool) {
	if key.IsMergeKey() {
		w.fault(lineOf(key), "", "is a merge key (<<), which a configuration may not use; write the settings themselves")
		return "", false
	}
	if name, ok := scalar(key); ok {
		return name, true
	}
	w.fault(lineOf(key), "", "is not a plain key; write the name of a setting")
	return "", false
}

// scalar returns the text of a string, number or boolean: the setting that it
// is for decides what it may be, wherever it comes from.
func scalar(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func lineOf(node ast.Node) int {
	if t := node.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

// example is a line that would be right: the default.
func example(s setting) string {
	leaf := s.key[strings.LastIndexByte(s.key, '.')+1:]
	text := s.get(Default())
	switch {
	case s.setMap != nil:
		text = "{orders: at+jwt}"
	case s.setLists != nil:
		text = "{orders: [groups, email]}"
	case s.setList != nil:
		text = "[" + strings.ReplaceAll(text, ",", ", ") + "]"
	case text == "":
		text = `""`
	}
	return leaf + ": " + text
}

// suggest returns the setting that an unknown key was probably meant to be: one
// that is spelled almost so, or one of that name in another section.
func suggest(key string) string {
	var keys []string
	for _, s := range table {
		keys = append(keys, s.key)
		if section, _, ok := strings.Cut(s.key, "."); ok {
			keys = append(keys, section)
		}
	}
	if near := nearest(key, keys); near != "" {
		return near
	}
	leaf := strings.ReplaceAll(key[strings.LastIndexByte(key, '.')+1:], "-", "_")
	for _, s := range table {
		if strings.HasSuffix(s.key, "."+leaf) {
			return s.key
		}
	}
	return ""
}

// shortKey keeps what is no key of ours to one line of the report.
func shortKey(key string) string {
	if quoted := quote(key); quoted != `"`+key+`"` {
		return quoted
	}
	return key
}
