package postrider

import (
	"errors"
	"io"
	"io/fs"
	"strings"
)

// attachment writes one attachment, or the reason why it cannot be written, with those of the
// attachments after it.
func (c *composer) attachment(i int) error {
	if c.out.err != nil {
		return c.out.err
	}
	a := &c.m.Attachments[i]
	media := a.media()
	var err error
	if strings.HasPrefix(media.full, "message/") {
		err = c.message(a, media)
	} else {
		err = a.read(func(r io.Reader, size int64) error {
			c.fileHeader(a, media, base64Encoded)
			c.breaks = false
			return c.out.base64From(r, size)
		})
	}
	if err == nil || c.out.err != nil {
		return c.out.err
	}
	return errors.Join(append([]error{c.m.attachmentError(i, err)}, c.m.probe(i+1)...)...)
}

// media is the checked content type.
func (a *Attachment) media() mediaType {
	s := a.ContentType
	if s == "" {
		s = contentType(a.Name)
	}
	t, _ := parseMediaType(s)
	return t
}

// read opens the source, reads it and closes it. It knows the size if the attachment says it or if the
// source is a file.
func (a *Attachment) read(use func(r io.Reader, size int64) error) error {
	r, err := a.Open()
	if err != nil {
		return err
	}
	if r == nil {
		return errors.New("Open returned nothing")
	}
	size := a.Size
	if f, ok := r.(interface{ Stat() (fs.FileInfo, error) }); ok {
		switch info, err := f.Stat(); {
		case err != nil:
			return errors.Join(err, r.Close())
		case info.IsDir():
			return errors.Join(errors.New("a directory"), r.Close())
		case info.Mode().IsRegular() && size >= 0 && size != info.Size():
			return errors.Join(errSize{info.Size(), size}, r.Close())
		case info.Mode().IsRegular():
			size = info.Size()
		}
	}
	if err := use(r, size); err != nil {
		r.Close()
		return err
	}
	return r.Close()
}

// fileHeader writes the header of an attachment.
func (c *composer) fileHeader(a *Attachment, media mediaType, enc encoding) {
	h := &c.h
	h.contentType(media)
	if a.Name != "" {
		h.param("name", asciiName(a.Name))
	}
	h.end()
	h.plain("Content-Transfer-Encoding", enc.String())
	h.begin("Content-Disposition")
	if a.Inline {
		h.word("inline", "")
	} else {
		h.word("attachment", "")
	}
	if a.Name != "" {
		h.param("filename", a.Name)
	}
	h.end()
	if id := a.id(); id != "" {
		h.messageIDs("Content-ID", id)
	}
	c.endHeader()
}
