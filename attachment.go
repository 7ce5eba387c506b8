package postrider

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Attachment is a file that goes with a message.
type Attachment struct {
	// Name is the file name shown to the recipient, UTF-8.
	Name string
	// ContentType is a media type with its parameters. Empty: by the extension of Name, or else
	// application/octet-stream. Files go in base64, but a message/rfc822 as it is (RFC 2046 s. 5.2.1):
	// with octets above 127 in it, the whole mail needs 8BITMIME.
	ContentType string
	// ContentID is the id for "cid:" links, without angle brackets. Empty: made from Name when Inline,
	// with "_" for all but letters, digits, ".", "-" and "_", so that logo.png is cid:logo.png.
	ContentID string
	// Inline says that the HTML shows the file.
	Inline bool
	// Size is the number of octets that Open's reader yields; more or fewer is an error. -1: not known
	// before it is read. Zero means empty. Files are also held to the size they have when opened.
	Size int64
	// Open is called once for each attempt to compose, by several goroutines at once if the message is
	// sent so. An error of Open, of a Read or of Close is an error of the sending, and no mail leaves.
	Open func() (io.ReadCloser, error)
}

// File attaches a file of the operating system. It is opened when the message is composed.
func File(name string) Attachment {
	return Attachment{
		Name: filepath.Base(name),
		Size: -1,
		Open: func() (io.ReadCloser, error) { return os.Open(name) },
	}
}

// FileFS attaches a file of fsys. It is opened when the message is composed.
func FileFS(fsys fs.FS, name string) Attachment {
	return Attachment{
		Name: path.Base(name),
		Size: -1,
		Open: func() (io.ReadCloser, error) { return fsys.Open(name) },
	}
}

// Bytes attaches data, which is not copied and must not change until the message is sent.
func Bytes(name string, data []byte) Attachment {
	return Attachment{
		Name: name,
		Size: int64(len(data)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
	}
}

const octetStream = "application/octet-stream"

// contentTypes are the media types of common extensions. It is our own table because mime.TypeByExtension
// answers by what is installed on the machine, and the same message shall be the same everywhere. Text is
// taken for UTF-8, as everything is in Go.
var contentTypes = map[string]string{
	".7z": "application/x-7z-compressed", ".aac": "audio/aac", ".avi": "video/x-msvideo", ".avif": "image/avif",
	".bmp": "image/bmp", ".bz2": "application/x-bzip2", ".css": "text/css; charset=utf-8",
	".csv": "text/csv; charset=utf-8", ".doc": "application/msword",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".eml":  "message/rfc822", ".epub": "application/epub+zip", ".gif": "image/gif", ".gz": "application/gzip",
	".heic": "image/heic", ".htm": "text/html; charset=utf-8", ".html": "text/html; charset=utf-8",
	".ico": "image/vnd.microsoft.icon", ".ics": "text/calendar; charset=utf-8", ".jpeg": "image/jpeg",
	".jpg": "image/jpeg", ".js": "text/javascript; charset=utf-8", ".json": "application/json",
	".log": "text/plain; charset=utf-8", ".m4a": "audio/mp4", ".md": "text/markdown; charset=utf-8",
	".mov": "video/quicktime", ".mp3": "audio/mpeg", ".mp4": "video/mp4", ".mpeg": "video/mpeg",
	".odp": "application/vnd.oasis.opendocument.presentation",
	".ods": "application/vnd.oasis.opendocument.spreadsheet",
	".odt": "application/vnd.oasis.opendocument.text", ".ogg": "audio/ogg", ".pdf": "application/pdf",
	".png": "image/png", ".ppt": "application/vnd.ms-powerpoint",
	".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	".rtf":  "application/rtf", ".svg": "image/svg+xml", ".tar": "application/x-tar", ".tif": "image/tiff",
	".tiff": "image/tiff", ".txt": "text/plain; charset=utf-8", ".vcf": "text/vcard; charset=utf-8",
	".wasm": "application/wasm", ".wav": "audio/wav", ".webm": "video/webm", ".webp": "image/webp",
	".xls": "application/vnd.ms-excel", ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".xml": "application/xml", ".yaml": "application/yaml", ".yml": "application/yaml", ".zip": "application/zip",
}

// contentType is the media type of an attachment whose ContentType is empty.
func contentType(name string) string {
	ext := path.Ext(name)
	t, ok := contentTypes[ext]
	if !ok {
		t, ok = contentTypes[strings.ToLower(ext)]
	}
	if !ok {
		return octetStream
	}
	return t
}

// contentID is the id of an inline attachment whose ContentID is empty.
func contentID(name string) string {
	for i := 0; i < len(name); i++ {
		if !isIDChar(rune(name[i])) {
			return strings.Map(func(r rune) rune {
				if isIDChar(r) {
					return r
				}
				return '_'
			}, name)
		}
	}
	return name
}

func isIDChar(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_'
}
