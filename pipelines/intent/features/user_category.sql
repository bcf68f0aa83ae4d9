-- How far this person is into this category.
SELECT user_id,
       category_id,
       count(*) FILTER (WHERE behavior = 'pv'  AND within(ts, '30 minutes')) AS views_30m,
       count(*) FILTER (WHERE behavior = 'pv'  AND within(ts, '1 day'))      AS views_1d,
       count(*) FILTER (WHERE behavior <> 'pv' AND within(ts, '1 day'))      AS actions_1d
FROM behavior
GROUP BY user_id, category_id
