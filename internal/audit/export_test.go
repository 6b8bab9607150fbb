package audit

// SaveMark stores the mark as the loop does.
func SaveMark(l *Log) { _ = l.saveMark() }
