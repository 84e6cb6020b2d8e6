# store/embed.awk - print a text file as the C string schema_sql[].

BEGIN {
	print "/* Made from schema.sql: edit that file. */"
	print "static const char schema_sql[] ="
}

{
	gsub(/\\/, "&&")
	gsub(/"/, "\\\"")
	gsub(/\?/, "\\?")
	gsub(/\t/, "\\t")
	print "\t\"" $0 "\\n\""
}

END {
	print "\t;"
}
