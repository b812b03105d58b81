package cmdline

// scripts are what each shell loads. All they know is how to ask the command itself,
// so what is offered is what the installed program takes.
var scripts = map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}

const bashScript = `# bash completion for COMMAND: source <(COMMAND completion bash)
_COMMAND() {
	local line
	COMPREPLY=()
	while IFS= read -r line; do
		case $line in
		:files) compopt -o default ;;
		:dirs) compopt -o dirnames ;;
		:nospace) compopt -o nospace ;;
		?*) COMPREPLY+=("${line%%$'\t'*}") ;;
		esac
	done < <("$1" completion -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _COMMAND COMMAND
`

const zshScript = `#compdef COMMAND
# zsh completion for COMMAND: source <(COMMAND completion zsh), or a file _COMMAND in $fpath
_COMMAND() {
	local line
	local -a found suffix
	for line in "${(@f)$("${words[1]}" completion -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
		case $line in
		:files) _files; return ;;
		:dirs) _files -/; return ;;
		:nospace) suffix=(-S '') ;;
		*$'\t'*) found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
		?*) found+=("${line//:/\\:}") ;;
		esac
	done
	_describe COMMAND found "${suffix[@]}"
}
if [[ ${funcstack[1]} == _COMMAND ]]; then _COMMAND "$@"; else compdef _COMMAND COMMAND; fi
`

const fishScript = `# fish completion for COMMAND: COMMAND completion fish | source
function __COMMAND_complete
	set -l words (commandline -opc)
	set -l current (commandline -ct)
	set -l command $words[1]
	set -e words[1]
	for line in ($command completion -- $words "$current" 2>/dev/null)
		switch $line
			case :files
				__fish_complete_path "$current"
			case :dirs
				__fish_complete_directories "$current"
			case :nospace
			case '*'
				echo $line
		end
	end
end
complete -c COMMAND -f -a '(__COMMAND_complete)'
`
