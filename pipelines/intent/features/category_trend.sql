-- How a category does with everybody, now and over the day.
SELECT category_id,
       count(*) FILTER (WHERE behavior = 'pv'  AND within(ts, '5 minutes'))  AS views_5m,
       count(*) FILTER (WHERE behavior = 'pv'  AND within(ts, '1 hour'))     AS views_1h,
       count(*) FILTER (WHERE behavior = 'pv'  AND within(ts, '1 day'))      AS views_1d,
       count(*) FILTER (WHERE behavior <> 'pv' AND within(ts, '1 hour'))     AS actions_1h,
       -- Share of events that are more than a look.
       avg(CASE WHEN behavior = 'pv' THEN 0.0 ELSE 1.0 END)
           FILTER (WHERE within(ts, '1 day'))                                AS action_share_1d
FROM behavior
GROUP BY category_id
