-- Whether this person keeps coming back to this item.
SELECT user_id,
       item_id,
       count(*) FILTER (WHERE within(ts, '30 minutes')) AS views_30m,
       count(*) FILTER (WHERE within(ts, '1 day'))      AS views_1d
FROM behavior
WHERE behavior = 'pv'
GROUP BY user_id, item_id
