package main

import (
	"cmp"
	"strings"
)

// A demoLanguage holds the syntax of a comment and the text of an empty program.
type demoLanguage struct{ comment, body string }

func languageOf(name string) demoLanguage {
	switch name {
	case "go", "golang":
		return demoLanguage{"//", "package main\n\nfunc main() {\n\tpanic(\"not written yet\")\n}\n"}
	case "javascript", "typescript", "js", "ts":
		return demoLanguage{"//", "export function main() {\n  throw new Error(\"not written yet\");\n}\n"}
	case "java", "kotlin", "c#", "scala", "swift", "php", "dart":
		return demoLanguage{"//", ""}
	case "c", "c++", "cpp":
		return demoLanguage{"//", "#include <stdlib.h>\n\nint main(void) {\n    abort(); // not written yet\n}\n"}
	case "rust":
		return demoLanguage{"//", "fn main() {\n    todo!(\"not written yet\");\n}\n"}
	case "sql", "lua", "haskell":
		return demoLanguage{"--", ""}
	case "bash", "sh", "shell":
		return demoLanguage{"#", "echo 'not written yet' >&2\nexit 1\n"}
	case "python":
		return demoLanguage{"#", "def main():\n    raise NotImplementedError(\"not written yet\")\n\n\n" +
			"if __name__ == \"__main__\":\n    main()\n"}
	}
	return demoLanguage{"#", ""}
}

// demoGenerate returns a skeleton in the requested language, with the prompt as a comment.
func demoGenerate(parts demoParts) any {
	name := cmp.Or(parts.language(), "python")
	language := languageOf(name)
	var code strings.Builder
	for line := range strings.Lines(parts["request"]) {
		code.WriteString(strings.TrimRight(language.comment+" "+strings.TrimSpace(line), " ") + "\n")
	}
	code.WriteString(language.comment + "\n" +
		language.comment + " A skeleton by the offline demo model: no AI was asked.\n\n" + language.body)
	return map[string]any{
		"code": code.String(), "language": name,
		"explanation": demoNotice + " The code is an empty program with your prompt as a comment.",
	}
}
