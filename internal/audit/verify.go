package audit

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Source is one file of a log, by the name that faults give it.
type Source struct {
	Name string
	io.Reader
}

// Report is what Verify found in files whose records follow each other.
type Report struct {
	// First and Last number the records that were read; both are 0 if there is none.
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	// From and To are their times.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Head is the last record.
	Head Head `json:"head"`
	// Marked reports that the record of the mark was found as the mark has it.
	Marked bool `json:"marked"`
	// Fault is where the files are not as they were written.
	Fault *Fault `json:"fault,omitempty"`
}

// Fault is where a log is not as it was written.
type Fault struct {
	// File and Line are where, Line counting from 1; Line is 0 for the end of the files.
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Problem string `json:"problem"`
	// Missing reports that records are not there. At the first line of a file and at the end
	// of all they may be in a file that was not named; between two lines they are not.
	Missing bool `json:"missing,omitempty"`
}

func (f *Fault) Error() string {
	if f.Line == 0 {
		return f.File + ": " + f.Problem
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Problem)
}

// Verify reads the files of a log, the oldest first, and returns a *Fault, which is also in
// the report, where a record does not follow the one before. With a mark, the files begin
// no later than the one that is written now did, and the last record is there and as the
// mark has it. Those before them may have been moved away.
func Verify(files []Source, mark Mark) (Report, error) {
	v := &verifier{mark: mark}
	err := v.all(files)
	if fault, ok := errors.AsType[*Fault](err); ok {
		v.report.Fault = fault
	}
	return v.report, err
}

func (v *verifier) all(files []Source) error {
	for _, f := range files {
		v.file = f.Name
		if err := v.read(f); err != nil {
			return err
		}
	}
	return v.end()
}

type verifier struct {
	mark   Mark
	report Report
	file   string
}

func (v *verifier) read(f Source) error {
	lines := bufio.NewReaderSize(f, maxLine)
	for n := 1; ; n++ {
		line, err := lines.ReadSlice('\n')
		switch {
		case err == io.EOF && len(line) == 0:
			return nil
		case err == io.EOF:
			return &Fault{File: f.Name, Line: n, Problem: "the file ends in the middle of a record: a crash of the server leaves that until its next start, and so does a cut"}
		case errors.Is(err, bufio.ErrBufferFull):
			return &Fault{File: f.Name, Line: n, Problem: "the line is longer than any record"}
		case err != nil:
			return fmt.Errorf("read %s: %w", f.Name, err)
		}
		if fault := v.follow(line[:len(line)-1]); fault != nil {
			fault.File, fault.Line = f.Name, n
			return fault
		}
	}
}

// follow takes the next line, or says what is wrong with it.
func (v *verifier) follow(line []byte) *Fault {
	var r Record
	if err := json.Unmarshal(line, &r); err != nil || r.Seq == 0 {
		return faultf("this is no record; it was changed, or written by something else")
	}
	before := v.report.Head
	switch {
	case before.Seq == 0 && r.Seq == 1 && r.Prev != Hash{}.String():
		return faultf("record 1 says that another came before it: it was changed")
	case before.Seq == 0:
		if fault := v.begin(&r); fault != nil {
			return fault
		}
	case r.Seq > before.Seq+1:
		return &Fault{Missing: true, Problem: fmt.Sprintf("%s missing before record %d", missing(before.Seq+1, r.Seq-1), r.Seq)}
	case r.Seq <= before.Seq:
		return faultf("record %d follows record %d: the files are in the wrong order, or records were put in", r.Seq, before.Seq)
	case r.Prev != before.Hash.String():
		return faultf("record %d does not follow record %d as that stands: one of the two was changed", r.Seq, before.Seq)
	}
	v.report.Head = Head{Seq: r.Seq, Hash: sha256.Sum256(line)}
	if v.report.First == 0 {
		v.report.First, v.report.From = r.Seq, r.Time
	}
	v.report.Last, v.report.To = r.Seq, r.Time
	return v.compare()
}

// begin looks at the first record of all: before it there is only what is in files that
// were moved away.
func (v *verifier) begin(r *Record) *Fault {
	start := v.mark.Start
	switch {
	case v.mark.Head.Seq == 0: // no mark is known
	case r.Seq > start.Seq+1:
		return &Fault{Missing: true, Problem: missing(start.Seq+1, r.Seq-1) + " missing at the beginning"}
	case r.Seq == start.Seq+1 && r.Prev != start.Hash.String():
		return faultf("record %d does not follow the one that signet wrote before it: it was changed", r.Seq)
	}
	return nil
}

// compare holds the record of the mark against it.
func (v *verifier) compare() *Fault {
	mark := v.mark.Head
	if mark.Seq == 0 || v.report.Head.Seq != mark.Seq {
		return nil
	}
	if v.report.Head != mark {
		return faultf("record %d is not the one that signet wrote: it or records before it were changed", mark.Seq)
	}
	v.report.Marked = true
	return nil
}

// end says whether records are missing at the end.
func (v *verifier) end() error {
	last := v.mark.Head.Seq
	if v.report.Last >= last {
		return nil
	}
	return &Fault{File: v.file, Missing: true, Problem: missing(v.report.Last+1, last) + " missing at the end"}
}

func faultf(format string, args ...any) *Fault { return &Fault{Problem: fmt.Sprintf(format, args...)} }

func missing(first, last uint64) string {
	if first == last {
		return fmt.Sprintf("record %d is", first)
	}
	return fmt.Sprintf("records %d to %d are", first, last)
}
