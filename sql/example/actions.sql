-- The actions of board.sql. Run this as the role that ran pgbridge init.

SELECT pgbridge.register_action('board.create_post_owner(uuid,text,text,text,timestamptz)');
SELECT pgbridge.register_action('board.edit_post_owner(uuid,text,text,timestamptz)');
SELECT pgbridge.register_action('board.vote_owner(uuid,text)');
SELECT pgbridge.register_action('board.join_owner(text,text,text)');
SELECT pgbridge.register_action('board.describe_owner(text,text)');
SELECT pgbridge.register_action('board.leave_owner(text)');

-- Changes of profiles, which members make directly, are published under these names.
SELECT pgbridge.map_action('board.join_owner(text,text,text)', 'board.profile', 'insert');
SELECT pgbridge.map_action('board.describe_owner(text,text)', 'board.profile', 'update', columns => ARRAY['about']);
SELECT pgbridge.map_action('board.leave_owner(text)', 'board.profile', 'delete');
