package pgstore

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/jackc/pgx/v5"

	"signet/internal/audit"
	"signet/internal/store/transfer"
)

// OtherMarks returns the marks of the other replicas' audit logs, by their names.
func (s *Store) OtherMarks(ctx context.Context) (marks []transfer.ReplicaMark, err error) {
	afterAll := strings.TrimSuffix(nameAuditMark, "/") + "0" // the byte after /
	err = s.read(ctx, func(ctx context.Context, q querier) error {
		marks = nil
		rows, err := q.Query(ctx, `SELECT name, value FROM signet_meta WHERE name > $1 AND name < $2 AND name <> $3 ORDER BY name`,
			text(nameAuditMark), text(afterAll), text(nameAuditMark+s.opts.Replica))
		if err != nil {
			return err
		}
		var name, value []byte
		_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
			var m audit.Mark
			if err := json.Unmarshal(value, &m); err != nil {
				return storageError("read the mark of an audit log in", s.name, err)
			}
			marks = append(marks, transfer.ReplicaMark{Replica: strings.TrimPrefix(string(name), nameAuditMark), Mark: m})
			return nil
		})
		return err
	})
	return marks, err
}

func putOtherMarks(ctx context.Context, q querier, marks []transfer.ReplicaMark) error {
	for _, m := range marks {
		value, err := json.Marshal(m.Mark)
		if err != nil {
			return err
		}
		if _, err := q.Exec(ctx, putMeta, text(nameAuditMark+m.Replica), value); err != nil {
			return err
		}
	}
	return nil
}
