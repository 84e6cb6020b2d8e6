# Ask the compiler before using a flag.  -Werror, since clang only warns of
# flags it does not know.

# HF_CFLAG(VARIABLE, FLAG, [IF-REFUSED])
# Add FLAG to VARIABLE if the compiler takes it.
AC_DEFUN([HF_CFLAG], [
AS_VAR_PUSHDEF([known], [hf_cv_cflag_$2])dnl
AC_CACHE_CHECK([whether $CC takes $2], [known], [
	hf_save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS -Werror $2"
	AC_COMPILE_IFELSE([AC_LANG_PROGRAM()],
		[AS_VAR_SET([known], [yes])], [AS_VAR_SET([known], [no])])
	CFLAGS=$hf_save_CFLAGS])
AS_VAR_IF([known], [yes], [$1="$$1 $2"], [$3])
AS_VAR_POPDEF([known])dnl
])

# HF_LDFLAG(VARIABLE, FLAG, [IF-REFUSED])
# The same for a flag of the link.
AC_DEFUN([HF_LDFLAG], [
AS_VAR_PUSHDEF([known], [hf_cv_ldflag_$2])dnl
AC_CACHE_CHECK([whether the linker takes $2], [known], [
	hf_save_LDFLAGS=$LDFLAGS
	LDFLAGS="$LDFLAGS -Werror $2"
	AC_LINK_IFELSE([AC_LANG_PROGRAM()],
		[AS_VAR_SET([known], [yes])], [AS_VAR_SET([known], [no])])
	LDFLAGS=$hf_save_LDFLAGS])
AS_VAR_IF([known], [yes], [$1="$$1 $2"], [$3])
AS_VAR_POPDEF([known])dnl
])

# HF_SANITIZER(NAME, FLAG, HELP)
# --enable-NAME builds everything with -fsanitize=FLAG.
AC_DEFUN([HF_SANITIZER], [
AC_ARG_ENABLE([$1], [AS_HELP_STRING([--enable-$1], [$3])], [],
	[enable_$1=no])
AS_IF([test "$enable_$1" = yes], [
	HF_LDFLAG([SAN_FLAGS], [-fsanitize=$2],
		[AC_MSG_ERROR([--enable-$1: $CC cannot link -fsanitize=$2])])])
])

# HF_DIR(NAME, PKG-CONFIG-MODULE, PKG-CONFIG-VARIABLE, FALLBACK, HELP)
# --with-NAME=DIR says where to install; by default what pkg-config answers,
# else FALLBACK.  "no" installs nothing there.
AC_DEFUN([HF_DIR], [
AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1=DIR], [$5])], [],
	[with_$1=yes])
AS_IF([test "$with_$1" = yes], [
	m4_ifval([$2], [with_$1=$($PKG_CONFIG --variable=$3 $2 2>/dev/null)])
	AS_IF([test -z "$with_$1" || test "$with_$1" = yes],
		[with_$1='$4'])])
AS_IF([test "$with_$1" = no], [with_$1=])
AC_SUBST([$1], [$with_$1])
AM_CONDITIONAL([WITH_]m4_toupper([$1]), [test -n "$with_$1"])
])
