package postrider_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/postrider/postrider"
)

func files(pairs ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		fsys[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return fsys
}

func ExampleLoadTemplate() {
	fsys := fstest.MapFS{
		"layout.html":         {Data: []byte(`<html><body>{{template "content" .}}<p>Example Ltd</p></body></html>`)},
		"welcome/subject.txt": {Data: []byte("Welcome, {{.Name}}\n")},
		"welcome/text.txt":    {Data: []byte("Dear {{.Name}},\n")},
		"welcome/html.html":   {Data: []byte("<p>Dear {{.Name}},</p>")},
	}
	template, err := postrider.LoadTemplate(fsys, "welcome", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := template.Render(struct{ Name string }{"Tom & Co"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Subject)
	fmt.Print(m.Text)
	fmt.Println(m.HTML)
	// Output:
	// Welcome, Tom & Co
	// Dear Tom & Co,
	// <html><body><p>Dear Tom &amp; Co,</p><p>Example Ltd</p></body></html>
}

func TestTemplateLayouts(t *testing.T) {
	fsys := files("a/subject.txt", "s", "a/text.txt", "text {{upper .}}", "a/html.html", "<b>{{.}}</b>",
		"layout.txt", "[{{template \"content\" .}}]", "layout.html", "common {{template \"content\" .}}", "a/layout.html", "<i>own</i>{{template \"content\" .}}")
	template, err := postrider.LoadTemplate(fsys, "a", map[string]any{"upper": strings.ToUpper})
	if err != nil {
		t.Fatal(err)
	}
	m, err := template.Render("x<y")
	if err != nil {
		t.Fatal(err)
	}
	if m.Text != "[text X<Y]" || m.HTML != "<i>own</i><b>x&lt;y</b>" {
		t.Errorf("text %q, HTML %q", m.Text, m.HTML)
	}
}

// What is missing is found when the template is loaded.
func TestLoadTemplateRefuses(t *testing.T) {
	for name, fsys := range map[string]fstest.MapFS{
		"subject.txt":            files("a/text.txt", "x"),
		"text.txt and html.html": files("a/subject.txt", "x"),
		"text.txt":               files("a/subject.txt", "x", "a/text.txt", "{{if}}"),
		"html.html":              files("a/subject.txt", "x", "a/html.html", "{{.a"),
		"layout.html":            files("a/subject.txt", "x", "a/html.html", "y", "layout.html", "no place"),
	} {
		_, err := postrider.LoadTemplate(fsys, "a", nil)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := postrider.LoadTemplate(files(), "nowhere", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// All files that fail are named at once, and nothing is rendered.
func TestTemplateRenderRefuses(t *testing.T) {
	template, err := postrider.LoadTemplate(files("a/subject.txt", "{{.subject}}", "a/text.txt", "{{.text}}", "a/html.html", "{{.html}}"), "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := template.Render(map[string]string{})
	if m != nil || err == nil {
		t.Fatalf("%v, %v", m, err)
	}
	for _, file := range []string{"subject.txt", "text.txt", "html.html"} {
		if !strings.Contains(err.Error(), file) {
			t.Errorf("%v does not name %s", err, file)
		}
	}
	for _, subject := range []string{"", " \n ", "a\nb", "a\rBcc: x"} {
		if err := template.Check(map[string]string{"subject": subject, "text": "x", "html": "x"}); err == nil {
			t.Errorf("subject %q passes", subject)
		}
	}
	if err := template.Check(map[string]string{"subject": "x", "text": " ", "html": ""}); err == nil {
		t.Error("an empty message passes")
	}
	if err := template.Check(map[string]string{"subject": "x", "text": "y", "html": ""}); err != nil {
		t.Error(err)
	}
}
