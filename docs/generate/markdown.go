package main

import "strings"

// cell makes text fit into one cell of a table.
func cell(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	text = strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`).Replace(text)
	if text == "" {
		return "–"
	}
	return text
}

// code sets text as code in a cell.
func code(text string) string {
	if text == "" {
		return "–"
	}
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}

func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

// head is the first two lines of a table.
func head(titles ...string) string {
	return row(titles...) + strings.Repeat("|---", len(titles)) + "|\n"
}
