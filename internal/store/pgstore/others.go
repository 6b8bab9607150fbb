package pgstore

import (
	"context"
	"strings"
)

// Others returns where servers that use this database are connected from, as far as the
// engine tells: those whose connections are called signet (Options.Application). An
// engine that does not list connections knows of none.
func (s *Store) Others(ctx context.Context) (from []string, err error) {
	err = s.read(ctx, func(ctx context.Context, q querier) error {
		from = nil
		rows, err := q.Query(ctx, `SELECT DISTINCT coalesce(host(client_addr), 'this host') FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'signet' ORDER BY 1`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var host string
			if err := rows.Scan(&host); err != nil {
				return err
			}
			from = append(from, strings.TrimSpace(host))
		}
		return rows.Err()
	})
	if c := code(err); c == undefinedTable || c == undefinedFunction {
		return nil, nil
	}
	return from, err
}
