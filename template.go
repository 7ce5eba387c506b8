package postrider

import (
	"bytes"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"path"
	"strings"
	texttemplate "text/template"
)

// Template makes the subject, text and HTML of a message from a folder of files:
//
//	welcome/subject.txt   text/template, one line
//	welcome/text.txt      text/template
//	welcome/html.html     html/template, which escapes what it is given
//	layout.txt            optional, around every text.txt: {{template "content" .}} is its place
//	layout.html           optional, around every html.html
//
// Text or HTML may be missing, the subject not. A layout in the template's own folder goes before the common
// one. A Template is safe for concurrent use.
type Template struct {
	name    string
	subject *texttemplate.Template
	text    *texttemplate.Template // nil: there is none
	html    *htmltemplate.Template
}

// LoadTemplate reads the template in folder name of fsys. The functions in funcs, which may be nil,
// can be called in all of its files. Everything that is missing or does not parse is one joined error.
func LoadTemplate(fsys fs.FS, name string, funcs map[string]any) (*Template, error) {
	l := templateLoader{fsys: fsys, name: name, funcs: funcs}
	t := &Template{name: name}
	if source, ok := l.read(path.Join(name, "subject.txt")); ok {
		t.subject = l.parseText("subject.txt", strings.TrimSpace(source), "")
	} else {
		l.fail("subject.txt", fs.ErrNotExist)
	}
	if source, ok := l.read(path.Join(name, "text.txt")); ok {
		t.text = l.parseText("text.txt", source, l.layout("layout.txt"))
	}
	if source, ok := l.read(path.Join(name, "html.html")); ok {
		t.html = l.parseHTML(source, l.layout("layout.html"))
	}
	if t.text == nil && t.html == nil && len(l.errs) == 0 {
		l.fail("text.txt and html.html", fs.ErrNotExist)
	}
	if len(l.errs) > 0 {
		return nil, errors.Join(l.errs...)
	}
	return t, nil
}

// templateLoader reads files and remembers what is wrong.
type templateLoader struct {
	fsys  fs.FS
	name  string
	funcs map[string]any
	errs  []error
}

func (l *templateLoader) fail(file string, err error) {
	l.errs = append(l.errs, fmt.Errorf("postrider: template %s: %s: %w", l.name, file, err))
}

func (l *templateLoader) read(file string) (string, bool) {
	source, err := fs.ReadFile(l.fsys, file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.fail(file, err)
	}
	return string(source), err == nil
}

// layout finds the layout for a file; empty: none.
func (l *templateLoader) layout(file string) string {
	for _, place := range []string{path.Join(l.name, file), file} {
		if source, ok := l.read(place); ok {
			if !strings.Contains(source, `"content"`) {
				l.fail(place, errors.New(`it has no {{template "content" .}}`))
			}
			return source
		}
	}
	return ""
}

// A missing key is an error: a mail that greets "<no value>" is worse than none.
const missingKey = "missingkey=error"

func (l *templateLoader) parseText(file, source, layout string) *texttemplate.Template {
	t := texttemplate.New("layout").Option(missingKey).Funcs(l.funcs)
	content := t
	if layout != "" {
		content = t.New("content")
	}
	if _, err := content.Parse(source); err != nil {
		l.fail(file, err)
	}
	if layout != "" {
		if _, err := t.Parse(layout); err != nil {
			l.fail("layout.txt", err)
		}
	}
	return t
}

func (l *templateLoader) parseHTML(source, layout string) *htmltemplate.Template {
	t := htmltemplate.New("layout").Option(missingKey).Funcs(l.funcs)
	content := t
	if layout != "" {
		content = t.New("content")
	}
	if _, err := content.Parse(source); err != nil {
		l.fail("html.html", err)
	}
	if layout != "" {
		if _, err := t.Parse(layout); err != nil {
			l.fail("layout.html", err)
		}
	}
	return t
}

// Render makes a message of the template for one recipient: Subject, Text and HTML are set, the rest is
// the caller's. What goes wrong in any file is one joined error that names the files, and no message.
func (t *Template) Render(data any) (*Message, error) {
	m := &Message{}
	var errs []error
	render := func(file string, into *string, execute func(*bytes.Buffer) error) {
		var b bytes.Buffer
		if err := execute(&b); err != nil {
			errs = append(errs, fmt.Errorf("postrider: template %s: %s: %w", t.name, file, err))
		}
		*into = b.String()
	}
	render("subject.txt", &m.Subject, func(b *bytes.Buffer) error {
		if err := t.subject.Execute(b, data); err != nil {
			return err
		}
		if s := bytes.TrimSpace(b.Bytes()); len(s) == 0 {
			return errors.New("the subject is empty")
		} else if bytes.ContainsAny(s, "\r\n") {
			return errors.New("the subject has a line break")
		}
		return nil
	})
	if t.text != nil {
		render("text.txt", &m.Text, func(b *bytes.Buffer) error { return t.text.Execute(b, data) })
	}
	if t.html != nil {
		render("html.html", &m.HTML, func(b *bytes.Buffer) error { return t.html.Execute(b, data) })
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	m.Subject = strings.TrimSpace(m.Subject)
	return m, nil
}

// Check renders the template with data such as a recipient's and says what is wrong. A program that
// calls it when it starts, or in a test, learns of a missing field before its users do.
func (t *Template) Check(data any) error {
	m, err := t.Render(data)
	if err != nil {
		return err
	}
	if strings.TrimSpace(m.Text) == "" && strings.TrimSpace(m.HTML) == "" {
		return fmt.Errorf("postrider: template %s: the text is empty", t.name)
	}
	return nil
}
