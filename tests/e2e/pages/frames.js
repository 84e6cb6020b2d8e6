// What both of the site's ways have in common: messages are found by their
// marks, and the last one's tag and time are the position.
const channel = new URLSearchParams(location.search).get("channel");
let tag = null, time = null;
window.seen = [];
window.opened = 0;
window.cut = 0;

function take(text)
{
	const marks = /#!NGINXNMS!#(.*?)#!NGINXNME!#/g;
	for (const found of text.matchAll(marks)) {
		const message = JSON.parse(found[1]);
		window.seen.push(message.text);
		tag = message.tag;
		time = message.time;
	}
}

function again(connect)
{
	window.cut++;
	setTimeout(connect, 100);
}

function query()
{
	let text = "?CHANNEL_ID=" + channel;
	if (tag !== null)
		text += "&tag=" + tag + "&time=" + encodeURIComponent(time);
	return text;
}
