package linear

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Violation is a part of a history that no order of its requests explains.
type Violation struct {
	// Words tells it to a reader.
	Words string

	model porcupine.Model
	found porcupine.LinearizationInfo
}

func (v *Violation) Error() string { return v.Words }

// Draw writes a page of HTML that shows the part of the history, and how far orders of it
// come. A violation that is seen without looking for an order has none: nothing is written.
func (v *Violation) Draw(w io.Writer) error {
	if v.model.Init == nil {
		return nil
	}
	return porcupine.Visualize(v.model, v.found, w)
}

// Check looks for an order of the requests that the rules allow. It returns a *Violation
// if there is none, and another error if it does not know within the patience that it
// has for each session.
func (h *History) Check(patience time.Duration) error {
	ops := h.Ops()
	n := nameAll(ops)
	for _, op := range ops {
		if op.Answer == Strange {
			return &Violation{Words: "no order of requests explains this answer:\n" + n.line(&op)}
		}
	}
	if err := successors(ops, n); err != nil {
		return err
	}
	for _, part := range project(ops) {
		if err := h.checkPart(part, n, patience); err != nil {
			return err
		}
	}
	return nil
}

// successors holds that a refresh token takes the place of one other and of no more: the
// model compares what is presented with the last two tokens alone.
func successors(ops []Op, n *names) error {
	before := map[string]string{}
	for _, op := range ops {
		if op.Next == "" {
			continue
		}
		if was, ok := before[op.Next]; ok && (was != op.Token || op.Kind == Login) {
			return &Violation{Words: "a refresh token was issued a second time, in the place of another one:\n" + n.line(&op)}
		}
		before[op.Next] = op.Token
	}
	return nil
}

func (h *History) checkPart(part projection, n *names, patience time.Duration) error {
	ops := part.upTo()
	history := make([]porcupine.Operation, len(ops))
	for i := range ops {
		history[i] = porcupine.Operation{ClientId: ops[i].Client, Input: &ops[i], Call: ops[i].Call, Return: ops[i].Return}
	}
	model := rules{h.Window}.model(n.describe, n.state)
	result, found := porcupine.CheckOperationsVerbose(model, history, patience)
	switch result {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("whether an order of the %d requests about %s exists was not found out within %v", len(ops), n.sessions[part.session], patience)
	}
	longest := longest(found.PartialLinearizationsOperations()[0])
	return &Violation{Words: n.tell(h.Window, part.session, model, ops, longest), model: model, found: found}
}

func longest(orders [][]porcupine.Operation) []*Op {
	var best []porcupine.Operation
	for _, order := range orders {
		if len(order) > len(best) {
			best = order
		}
	}
	ops := make([]*Op, len(best))
	for i, operation := range best {
		ops[i] = operation.Input.(*Op)
	}
	return ops
}

// tell says how far an order comes from the login on, and what cannot come next. What others'
// requests tell of the account is left out of the order.
func (n *names) tell(window time.Duration, session string, model porcupine.Model, ops []Op, order []*Op) string {
	var b strings.Builder
	fmt.Fprintf(&b, "no order of the requests explains all answers about session %s (reuse window %v).\n", n.sessions[session], window)
	fmt.Fprintf(&b, "The longest order that the rules allow has %d of %d requests:\n", len(order), len(ops))
	state, begun := model.Init(), false
	for _, op := range order {
		_, state = model.Step(state, op, nil)
		begun = begun || op.Kind == Login
		if begun && op.Kind != sawEnabled && op.Kind != sawDisabled {
			fmt.Fprintf(&b, "%s\n%*s=> %s\n", n.line(op), 24, "", model.DescribeState(state))
		}
	}
	b.WriteString("None of these can come next, and one of them must:\n")
	for _, op := range next(ops, order) {
		fmt.Fprintln(&b, n.line(op))
	}
	return b.String()
}

// next are the requests that were made before the first of the rest was answered.
func next(ops []Op, order []*Op) (candidates []*Op) {
	var rest []*Op
	first := int64(Forever)
	for i := range ops {
		if !slices.Contains(order, &ops[i]) {
			rest = append(rest, &ops[i])
			first = min(first, ops[i].Return)
		}
	}
	for _, op := range rest {
		if op.Call <= first {
			candidates = append(candidates, op)
		}
	}
	return candidates
}
